//! Which service a request is signed for: the service name in the SigV4 credential scope. Signatures are
//! not verified; any credentials are welcome.

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

/// The service a request was signed for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Signed {
    /// Not signed, or not as AWS signs.
    No,
    /// The control plane.
    Iot,
    /// The data plane.
    IotData,
    /// AWS Lambda.
    Lambda,
    /// IAM.
    Iam,
    /// STS.
    Sts,
    /// SQS.
    Sqs,
    /// CloudWatch.
    CloudWatch,
    /// A service the local core does not offer.
    Other(String),
}

pub(super) fn of(parts: &Parts) -> Signed {
    let header = parts.headers.get(AUTHORIZATION);
    let header = header.and_then(|value| value.to_str().ok());
    let in_header = header.and_then(|text| {
        let (_, credential) = text.split_once("Credential=")?;
        credential.split([',', ' ']).next()
    });
    let credential = match in_header {
        Some(credential) => credential.to_owned(),
        None => match presigned(parts.uri.query().unwrap_or_default()) {
            Some(credential) => credential,
            None => return Signed::No,
        },
    };
    // KEY/DATE/REGION/SERVICE/aws4_request, or without the region for SigV4a.
    let Some(service) = credential
        .strip_suffix("/aws4_request")
        .and_then(|rest| rest.rsplit('/').next())
    else {
        return Signed::No;
    };
    match service {
        "iot" => Signed::Iot,
        "iotdata" | "iotdevicegateway" => Signed::IotData,
        "iam" => Signed::Iam,
        "lambda" => Signed::Lambda,
        "sts" => Signed::Sts,
        "sqs" => Signed::Sqs,
        "monitoring" => Signed::CloudWatch,
        "" => Signed::No,
        other => Signed::Other(other.chars().take(64).collect()),
    }
}

fn presigned(query: &str) -> Option<String> {
    let pair = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("X-Amz-Credential="))?;
    let decoded = percent_encoding::percent_decode_str(pair)
        .decode_utf8()
        .ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn signed(authorization: &str, target: &str) -> Signed {
        let request = Request::builder()
            .uri(target)
            .header(AUTHORIZATION, authorization);
        of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn the_service_is_read_from_header_or_query() {
        let scope = |service: &str| {
            format!(
                "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/{service}/aws4_request, SignedHeaders=host, Signature=00"
            )
        };
        assert_eq!(signed(&scope("iot"), "/"), Signed::Iot);
        assert_eq!(signed(&scope("iotdevicegateway"), "/"), Signed::IotData);
        assert_eq!(signed(&scope("sqs"), "/"), Signed::Sqs);
        assert_eq!(signed(&scope("sns"), "/"), Signed::Other("sns".to_owned()));
        assert_eq!(signed("Bearer abc", "/"), Signed::No);
        assert_eq!(signed("Credential=", "/"), Signed::No);
        let query = "/?X-Amz-Credential=AKID%2F20260101%2Feu-west-1%2Fsts%2Faws4_request";
        assert_eq!(signed("", query), Signed::Sts);
    }
}
