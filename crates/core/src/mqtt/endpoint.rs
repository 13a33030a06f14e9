//! Where to connect: `host` or `host:port`, as `--endpoint` and AWS_IOT_ENDPOINT give it.

use std::{fmt, net::IpAddr, str::FromStr};

use rustls_pki_types::ServerName;

/// Port of MQTT with client certificates (developer guide, "Device communication protocols").
pub const DEFAULT_PORT: u16 = 8883;

/// An endpoint of AWS IoT Core or of a local core: a host name or IP address, and a TCP port.
///
/// Built by [`FromStr`] from `host`, `host:port`, `[ipv6]` or `[ipv6]:port`; the port defaults to
/// [`DEFAULT_PORT`]. Host names are kept in lower case, without a trailing dot.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// Why a text is not an endpoint.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Nothing, or nothing before the colon.
    #[error("the endpoint {given:?} names no host; expected HOST or HOST:PORT")]
    NoHost {
        /// The text as given.
        given: String,
    },
    /// `mqtts://host`, `https://host/path` and the like.
    #[error("the endpoint {given:?} is a URL; give the host only, without {part:?}")]
    Url {
        /// The text as given.
        given: String,
        /// The part that makes it one.
        part: String,
    },
    /// Not a number of 1..=65535.
    #[error("the port {port:?} of the endpoint {given:?} is not a number from 1 to 65535")]
    Port {
        /// The text as given.
        given: String,
        /// The port in it.
        port: String,
    },
    /// More than one colon and no brackets.
    #[error(
        "the endpoint {given:?} looks like an IPv6 address; write it in brackets: [ADDRESS]:PORT"
    )]
    Brackets {
        /// The text as given.
        given: String,
    },
    /// Neither a DNS name nor an IP address.
    #[error("{host:?} in the endpoint {given:?} is neither a host name nor an IP address")]
    Host {
        /// The text as given.
        given: String,
        /// The host in it.
        host: String,
    },
}

impl Endpoint {
    /// An endpoint of its two halves; `host` may be a name or an address without brackets.
    ///
    /// # Errors
    /// [`EndpointError::Host`] or [`EndpointError::Port`], as when parsing.
    pub fn new(host: &str, port: u16) -> Result<Self, EndpointError> {
        let given = host.to_owned();
        if port == 0 {
            return Err(EndpointError::Port {
                given,
                port: "0".to_owned(),
            });
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if host.is_empty() {
            return Err(EndpointError::NoHost { given });
        }
        // The same judge that rustls uses for the name it sends and verifies.
        if ServerName::try_from(host.as_str()).is_err() {
            return Err(EndpointError::Host { given, host });
        }
        Ok(Self { host, port })
    }

    /// Host name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether this is an endpoint of AWS itself, by its name.
    pub fn is_aws(&self) -> bool {
        [".amazonaws.com", ".amazonaws.com.cn"]
            .iter()
            .any(|suffix| self.host.ends_with(suffix))
    }

    /// The host as an address, when it is one. TLS sends no SNI for an address (RFC 6066, section 3).
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let given = || text.to_owned();
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(EndpointError::Url {
                given: given(),
                part: format!("{scheme}://"),
            });
        }
        if let Some(at) = text.find('/') {
            return Err(EndpointError::Url {
                given: given(),
                part: text[at..].to_owned(),
            });
        }
        let (host, port) = split(text)?;
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => port
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| port.parse::<u16>().ok())
                .flatten()
                .filter(|port| *port != 0)
                .ok_or_else(|| EndpointError::Port {
                    given: given(),
                    port: port.to_owned(),
                })?,
        };
        Self::new(host, port).map_err(|error| match error {
            EndpointError::Host { host, .. } => EndpointError::Host {
                given: given(),
                host,
            },
            EndpointError::NoHost { .. } => EndpointError::NoHost { given: given() },
            other => other,
        })
    }
}

/// Host and port of a text, brackets taken off.
fn split(text: &str) -> Result<(&str, Option<&str>), EndpointError> {
    let given = || text.to_owned();
    if let Some(rest) = text.strip_prefix('[') {
        let Some((host, tail)) = rest.split_once(']') else {
            return Err(EndpointError::Brackets { given: given() });
        };
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(EndpointError::Host {
                given: given(),
                host: host.to_owned(),
            });
        }
        return match (tail.is_empty(), tail.strip_prefix(':')) {
            (true, _) => Ok((host, None)),
            (false, Some(port)) => Ok((host, Some(port))),
            (false, None) => Err(EndpointError::Port {
                given: given(),
                port: tail.to_owned(),
            }),
        };
    }
    match text.split_once(':') {
        None => Ok((text, None)),
        Some((_, port)) if port.contains(':') => Err(EndpointError::Brackets { given: given() }),
        Some((host, port)) => Ok((host, Some(port))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, u16) {
        let endpoint: Endpoint = text.parse().unwrap();
        (endpoint.host().to_owned(), endpoint.port())
    }

    #[test]
    fn a_host_alone_means_port_8883() {
        assert_eq!(
            parsed("abc123-ats.iot.eu-central-1.amazonaws.com"),
            ("abc123-ats.iot.eu-central-1.amazonaws.com".into(), 8883)
        );
        assert_eq!(parsed("localhost:443"), ("localhost".into(), 443));
        assert_eq!(parsed("Example.ORG."), ("example.org".into(), 8883));
        assert_eq!(parsed("127.0.0.1:1"), ("127.0.0.1".into(), 1));
    }

    #[test]
    fn ipv6_is_written_in_brackets() {
        assert_eq!(parsed("[::1]"), ("::1".into(), 8883));
        assert_eq!(parsed("[::1]:9"), ("::1".into(), 9));
        assert_eq!(
            "[::1]:9".parse::<Endpoint>().unwrap().to_string(),
            "[::1]:9"
        );
        assert!(matches!(
            "::1".parse::<Endpoint>(),
            Err(EndpointError::Brackets { .. })
        ));
        assert!(matches!(
            "[::1".parse::<Endpoint>(),
            Err(EndpointError::Brackets { .. })
        ));
        assert!("[::1]9".parse::<Endpoint>().is_err());
        assert!("[localhost]:9".parse::<Endpoint>().is_err());
    }

    #[test]
    fn what_is_not_an_endpoint_says_what_is_wrong_with_it() {
        for (text, expected) in [
            ("", "names no host"),
            (":8883", "names no host"),
            ("mqtts://host", "without \"mqtts://\""),
            ("host/path", "without \"/path\""),
            ("host:", "port \"\""),
            ("host:0", "port \"0\""),
            ("host:65536", "port \"65536\""),
            ("host:+1", "port \"+1\""),
            ("host:mqtt", "port \"mqtt\""),
            ("ho st", "neither a host name"),
            ("-", "neither a host name"),
            ("h\0st", "neither a host name"),
        ] {
            let message = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(message.contains(expected), "{text:?}: {message}");
        }
    }
}
