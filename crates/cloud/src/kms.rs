//! CA keys in AWS KMS: they sign there, and nobody can take them out.

use std::fmt;
use std::sync::mpsc::{SyncSender, sync_channel};

use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeySpec, KeyUsageType, MessageType, SigningAlgorithmSpec};
use jitp_core::ca::{ExternalKey, ExternalKeyError, KeyError, KeyType, public_key};
use jitp_core::failure::{Class, Classified};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

use crate::bounded::Bounded;
use crate::call::Repeat;
use crate::{Cloud, CloudError, CloudSettings};

/// A signing key in AWS KMS.
///
/// Calls are made by a thread of its own, since whoever signs waits for the signature and may be inside a runtime; any
/// number of them are under way at the same time.
pub struct KmsKey {
    name: String,
    key_type: KeyType,
    public_key: Vec<u8>,
    requests: UnboundedSender<Request>,
}

/// A message to sign, and where the signature is waited for.
struct Request {
    message: Vec<u8>,
    answer: SyncSender<Result<Vec<u8>, CloudError>>,
}

/// Why a key of AWS KMS is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KmsError {
    /// A call failed.
    #[error("awskms:{name}: {source}")]
    Call {
        /// The key.
        name: String,
        /// How.
        source: CloudError,
    },
    /// A key that does not sign, or not as a CA's does.
    #[error("awskms:{name} is a key for {usage}, not for signatures")]
    NotForSigning {
        /// The key.
        name: String,
        /// What it is for.
        usage: String,
    },
    /// A key of a kind the toolkit does not sign with.
    #[error("awskms:{name} cannot be used")]
    Unsupported {
        /// The key.
        name: String,
        /// What it is.
        source: KeyError,
    },
    /// A new key can only be called by an alias.
    #[error("awskms:{name} is no name for a new key")]
    NoAlias {
        /// What was given.
        name: String,
    },
    /// The alias has a key.
    #[error("awskms:{name} exists already")]
    Exists {
        /// The alias.
        name: String,
    },
    /// A key was made and has no alias.
    #[error("the key {key_id} was made in AWS KMS, but could not get the name {name}: {source}")]
    Nameless {
        /// The alias.
        name: String,
        /// The id of the new key.
        key_id: String,
        /// Why it has no alias.
        source: CloudError,
    },
    /// The thread that makes the calls is gone.
    #[error("awskms:{name}: the thread that calls AWS KMS has ended")]
    Ended {
        /// The key.
        name: String,
    },
}

impl Classified for KmsError {
    fn class(&self) -> Class {
        match self {
            Self::Call { source, .. } | Self::Nameless { source, .. } => source.class(),
            Self::NotForSigning { .. } | Self::Unsupported { .. } => Class::Configuration,
            Self::NoAlias { .. } => Class::Usage,
            Self::Exists { .. } => Class::Conflict,
            Self::Ended { .. } => Class::Unexpected,
        }
    }

    fn code(&self) -> String {
        match self {
            Self::Call { source, .. } | Self::Nameless { source, .. } => source.code(),
            other => other.class().code().to_owned(),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Call { name, source } => match source {
                CloudError::Service { code, .. } if code == "NotFoundException" => format!(
                    "make it: create-root --ca-key awskms:{name} --generate-key; keys are of one region and account"
                ),
                CloudError::Service { code, .. } if code == "UnsupportedOperationException" => {
                    SIGNING_KEYS.to_owned()
                }
                CloudError::Service { code, .. } if code == "AccessDeniedException" => {
                    "the credentials need kms:GetPublicKey and kms:Sign for this key".to_owned()
                }
                source => return source.hint(),
            },
            Self::Nameless { key_id, .. } => format!(
                "give it the name by hand (aws kms create-alias), or let it go: \
                 aws kms schedule-key-deletion --key-id {key_id}"
            ),
            Self::NotForSigning { .. } | Self::Unsupported { .. } => SIGNING_KEYS.to_owned(),
            Self::NoAlias { .. } => "name it awskms:alias/NAME".to_owned(),
            Self::Exists { .. } => {
                "leave --generate-key out to use it, if it is in use for no other CA; or choose another alias".to_owned()
            }
            Self::Ended { .. } => return None,
        })
    }

    fn request_id(&self) -> Option<String> {
        match self {
            Self::Call { source, .. } | Self::Nameless { source, .. } => source.request_id(),
            _ => None,
        }
    }
}

const SIGNING_KEYS: &str = "take an asymmetric key for SIGN_VERIFY: ECC_NIST_P256, ECC_NIST_P384, RSA_2048, RSA_3072 or RSA_4096";

impl KmsKey {
    /// Opens a key by its id, ARN or alias.
    ///
    /// # Errors
    /// When KMS does not answer, or the key is not one that can sign certificates.
    pub async fn open(settings: &CloudSettings, name: &str) -> Result<Self, KmsError> {
        Self::start(settings, name, None).await
    }

    /// Makes a key and gives it the alias `name`.
    ///
    /// # Errors
    /// When `name` is no alias or has a key already, or a call fails.
    pub async fn create(
        settings: &CloudSettings,
        name: &str,
        key_type: KeyType,
    ) -> Result<Self, KmsError> {
        if !name.starts_with("alias/") {
            return Err(KmsError::NoAlias {
                name: name.to_owned(),
            });
        }
        Self::start(settings, name, Some(key_type)).await
    }

    /// Starts the thread that makes the calls. All of them are made there: a connection belongs to the runtime that
    /// opened it, and that of the caller stands still while a signature is waited for.
    async fn start(
        settings: &CloudSettings,
        name: &str,
        make: Option<KeyType>,
    ) -> Result<Self, KmsError> {
        let name = name.to_owned();
        let (ready, opened) = tokio::sync::oneshot::channel();
        let (requests, mut asked) = unbounded_channel::<Request>();
        let mut settings = settings.clone();
        if settings.region.is_none() {
            settings.region = region_of(&name);
        }
        let worker = {
            let name = name.clone();
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let Ok(runtime) = runtime else {
                    return; // the caller sees that nobody answers
                };
                let tasks = LocalSet::new();
                tasks.block_on(&runtime, async {
                    let calls = match Calls::connect(&settings, &name).await {
                        Ok(calls) => calls,
                        Err(error) => {
                            let _ = ready.send(Err(error)); // nobody waits after a signal
                            return;
                        }
                    };
                    let key = calls.key(make).await;
                    let key_type = key.as_ref().ok().map(|(key_type, _)| *key_type);
                    let _ = ready.send(key);
                    let Some(key_type) = key_type else { return };
                    while let Some(Request { message, answer }) = asked.recv().await {
                        let calls = calls.clone();
                        tokio::task::spawn_local(async move {
                            let _ = answer.send(calls.sign(key_type, message).await);
                        });
                    }
                });
            }
        };
        let ended = || KmsError::Ended { name: name.clone() };
        std::thread::Builder::new()
            .name("kms".to_owned())
            .spawn(worker)
            .map_err(|_| ended())?;
        let (key_type, public_key) = opened.await.map_err(|_| ended())??;
        Ok(Self {
            name,
            key_type,
            public_key,
            requests,
        })
    }
}

impl CloudSettings {
    /// Opens a key of AWS KMS, as whoever signs takes it.
    ///
    /// # Errors
    /// As [`KmsKey::open`].
    pub async fn kms_key(&self, name: &str) -> Result<Box<dyn ExternalKey>, KmsError> {
        Ok(Box::new(KmsKey::open(self, name).await?))
    }

    /// Makes a key in AWS KMS.
    ///
    /// # Errors
    /// As [`KmsKey::create`].
    pub async fn new_kms_key(
        &self,
        name: &str,
        key_type: KeyType,
    ) -> Result<Box<dyn ExternalKey>, KmsError> {
        Ok(Box::new(KmsKey::create(self, name, key_type).await?))
    }
}

/// The region that an ARN names: its key is in no other.
fn region_of(name: &str) -> Option<String> {
    let mut parts = name.split(':');
    (parts.next() == Some("arn")).then_some(())?;
    parts
        .nth(2)
        .filter(|region| !region.is_empty())
        .map(str::to_owned)
}

/// The calls for one key.
#[derive(Clone)]
struct Calls {
    cloud: Cloud,
    client: Client,
    name: String,
}

impl Calls {
    async fn connect(settings: &CloudSettings, name: &str) -> Result<Self, KmsError> {
        let cloud = Cloud::connect(settings).await;
        let cloud = cloud.map_err(|source| KmsError::Call {
            name: name.to_owned(),
            source,
        })?;
        let config = aws_sdk_kms::config::Builder::from(&cloud.config);
        Ok(Self {
            client: Client::from_conf(config.interceptor(Bounded::CONTROL).build()),
            cloud,
            name: name.to_owned(),
        })
    }

    /// The key's kind and public half; made first, if it is to be.
    async fn key(&self, make: Option<KeyType>) -> Result<(KeyType, Vec<u8>), KmsError> {
        if let Some(key_type) = make {
            self.make(key_type).await?;
        }
        let answer = self
            .public_key()
            .await
            .map_err(|source| self.failed(source))?;
        let (usage, info) = answer;
        if usage != KeyUsageType::SignVerify {
            return Err(KmsError::NotForSigning {
                name: self.name.clone(),
                usage: usage.as_str().to_owned(),
            });
        }
        public_key(&info).map_err(|source| KmsError::Unsupported {
            name: self.name.clone(),
            source,
        })
    }

    async fn public_key(&self) -> Result<(KeyUsageType, Vec<u8>), CloudError> {
        const OPERATION: &str = "GetPublicKey";
        let send = || self.client.get_public_key().key_id(&self.name).send();
        let answer = self.cloud.call(OPERATION, send).await?;
        let missing = |member| move || CloudError::incomplete(OPERATION, member);
        let usage = answer.key_usage.ok_or_else(missing("KeyUsage"))?;
        let info = answer.public_key.ok_or_else(missing("PublicKey"))?;
        Ok((usage, info.into_inner()))
    }

    /// Creates the key and its alias.
    async fn make(&self, key_type: KeyType) -> Result<(), KmsError> {
        match self.public_key().await {
            Err(error) if error.is_not_found() => {}
            Err(source) => return Err(self.failed(source)),
            Ok(_) => {
                return Err(KmsError::Exists {
                    name: self.name.clone(),
                });
            }
        }
        let send = || {
            let call = self.client.create_key().key_usage(KeyUsageType::SignVerify);
            let call = call.key_spec(key_spec(key_type));
            call.description("CA key, made by create-root").send()
        };
        let made = self
            .cloud
            .call_with(Repeat::MakesAnother, "CreateKey", send)
            .await
            .map_err(|source| self.failed(source))?;
        let key_id = made.key_metadata.map(|metadata| metadata.key_id);
        let missing = || CloudError::incomplete("CreateKey", "KeyMetadata");
        let key_id = key_id
            .ok_or_else(missing)
            .map_err(|source| self.failed(source))?;
        let send = || {
            let call = self.client.create_alias().alias_name(&self.name);
            call.target_key_id(&key_id).send()
        };
        self.cloud
            .call("CreateAlias", send)
            .await
            .map(drop)
            .map_err(|source| KmsError::Nameless {
                name: self.name.clone(),
                key_id: key_id.clone(),
                source,
            })
    }

    async fn sign(&self, key_type: KeyType, message: Vec<u8>) -> Result<Vec<u8>, CloudError> {
        const OPERATION: &str = "Sign";
        let message = Blob::new(message);
        let send = || {
            let call = self.client.sign().key_id(&self.name);
            // KMS hashes. It takes 4096 bytes, several times a certificate.
            let call = call.message_type(MessageType::Raw).message(message.clone());
            call.signing_algorithm(algorithm(key_type)).send()
        };
        let signed = self.cloud.call(OPERATION, send).await?;
        let signature = signed.signature;
        let signature = signature.ok_or_else(|| CloudError::incomplete(OPERATION, "Signature"))?;
        Ok(signature.into_inner())
    }

    fn failed(&self, source: CloudError) -> KmsError {
        KmsError::Call {
            name: self.name.clone(),
            source,
        }
    }
}

fn key_spec(key_type: KeyType) -> KeySpec {
    match key_type {
        KeyType::P256 => KeySpec::EccNistP256,
        KeyType::P384 => KeySpec::EccNistP384,
        KeyType::Rsa2048 => KeySpec::Rsa2048,
        KeyType::Rsa3072 => KeySpec::Rsa3072,
        KeyType::Rsa4096 => KeySpec::Rsa4096,
    }
}

fn algorithm(key_type: KeyType) -> SigningAlgorithmSpec {
    match key_type {
        KeyType::P256 => SigningAlgorithmSpec::EcdsaSha256,
        KeyType::P384 => SigningAlgorithmSpec::EcdsaSha384,
        KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => {
            SigningAlgorithmSpec::RsassaPkcs1V15Sha256
        }
    }
}

impl ExternalKey for KmsKey {
    fn key_type(&self) -> KeyType {
        self.key_type
    }

    fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ExternalKeyError> {
        let (answer, signature) = sync_channel(1);
        let message = message.to_vec();
        let ended = || {
            ExternalKeyError::new(KmsError::Ended {
                name: self.name.clone(),
            })
        };
        self.requests
            .send(Request { message, answer })
            .map_err(|_| ended())?;
        signature.recv().map_err(|_| ended())?.map_err(|source| {
            ExternalKeyError::new(KmsError::Call {
                name: self.name.clone(),
                source,
            })
        })
    }
}

impl fmt::Debug for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KmsKey")
            .field("name", &self.name)
            .field("key_type", &self.key_type)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_arn_names_a_region() {
        let arn = "arn:aws:kms:eu-west-1:123456789012:alias/ca";
        assert_eq!(region_of(arn).as_deref(), Some("eu-west-1"));
        for name in ["alias/ca", "1234abcd-12ab", "arn:aws:kms"] {
            assert_eq!(region_of(name), None);
        }
    }
}
