//! The environment variables the programs read, in one place.
//!
//! The names are those of the shell toolkit this replaces. The README prints the same table; a
//! test compares the two.

/// One environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one sentence without a full stop.
    pub meaning: &'static str,
}

/// The AWS account the caller means; a mismatch with the credentials stops before anything happens.
pub const AWS_ACCOUNT: &str = "AWS_ACCOUNT";
/// The region, read by the AWS SDK.
pub const AWS_REGION: &str = "AWS_REGION";
/// The endpoint of every AWS API, read by the AWS SDK.
pub const AWS_ENDPOINT_URL: &str = "AWS_ENDPOINT_URL";
/// The stack of `deploy` and `make deploy`.
pub const AWS_STACK: &str = "AWS_STACK";
/// The stack of `deploy sqs` and `make sqs`.
pub const AWS_SQS_STACK: &str = "AWS_SQS_STACK";
/// The stack of `deploy loadtest` and `make loadtest-policy`.
pub const AWS_LOADTEST_STACK: &str = "AWS_LOADTEST_STACK";
/// The bucket that what a stack is made from goes by.
pub const AWS_BUCKET: &str = "AWS_BUCKET";
/// The topic whose messages the pipeline takes.
pub const AWS_TOPIC: &str = "AWS_TOPIC";
/// The MQTT endpoint of the account, `host` or `host:port`.
pub const AWS_IOT_ENDPOINT: &str = "AWS_IOT_ENDPOINT";
/// PEM file with the root certificates that the MQTT endpoint is judged by.
pub const AWS_IOT_CAFILE: &str = "AWS_IOT_CAFILE";
/// The output format when `--output` is not given.
pub const JITP_OUTPUT: &str = "JITP_OUTPUT";
/// Where the CA's key is when `--ca-key` is not given.
pub const JITP_CA_KEY: &str = "JITP_CA_KEY";
/// Passphrase of an encrypted CA key.
pub const JITP_CA_PASSPHRASE: &str = "JITP_CA_PASSPHRASE";
/// Passphrase to encrypt the key of a new intermediate CA with.
pub const JITP_NEW_CA_PASSPHRASE: &str = "JITP_NEW_CA_PASSPHRASE";
/// PIN of the token that holds the CA's key.
pub const JITP_PKCS11_PIN: &str = "JITP_PKCS11_PIN";
/// PKCS#11 module that leads to the token.
pub const JITP_PKCS11_MODULE: &str = "JITP_PKCS11_MODULE";
/// Passphrase of the device keys that a batch encrypts.
pub const JITP_DEVICE_PASSPHRASE: &str = "JITP_DEVICE_PASSPHRASE";
/// Which pod of a Kubernetes Indexed Job this is.
pub const JOB_COMPLETION_INDEX: &str = "JOB_COMPLETION_INDEX";
/// Which child of an AWS Batch array job this is.
pub const AWS_BATCH_JOB_ARRAY_INDEX: &str = "AWS_BATCH_JOB_ARRAY_INDEX";
/// How many children an AWS Batch array job has.
pub const AWS_BATCH_JOB_ARRAY_SIZE: &str = "AWS_BATCH_JOB_ARRAY_SIZE";
/// Number of the station when `--station` is not given.
pub const JITP_STATION: &str = "JITP_STATION";
/// No colour in what is written for people.
pub const NO_COLOR: &str = "NO_COLOR";

/// Every variable the programs read, besides the AWS SDK's own.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: AWS_ACCOUNT,
        meaning: "the account you mean; if the credentials belong to another, programs stop with exit code 3",
    },
    Variable {
        name: AWS_REGION,
        meaning: "the region, as for every AWS tool",
    },
    Variable {
        name: AWS_ENDPOINT_URL,
        meaning: "where AWS APIs are called, as for every AWS tool; `iot-local env` sets it",
    },
    Variable {
        name: AWS_TOPIC,
        meaning: "topic whose pipeline `deploy sqs` and `queue` are about; `loadtest` if it is not set",
    },
    Variable {
        name: AWS_STACK,
        meaning: "stack of `deploy`; `iot-policy` if it is not set",
    },
    Variable {
        name: AWS_SQS_STACK,
        meaning: "stack of `deploy sqs`; the topic and `-stack` if it is not set",
    },
    Variable {
        name: AWS_LOADTEST_STACK,
        meaning: "stack of `deploy loadtest`; the topic and `-policy` if it is not set",
    },
    Variable {
        name: AWS_BUCKET,
        meaning: "bucket for what a stack is made from",
    },
    Variable {
        name: AWS_IOT_ENDPOINT,
        meaning: "the MQTT endpoint, `host` or `host:port`; without it DescribeEndpoint is asked",
    },
    Variable {
        name: AWS_IOT_CAFILE,
        meaning: "PEM file of the roots the MQTT endpoint is judged by; without it the Amazon roots in the program",
    },
    Variable {
        name: JITP_OUTPUT,
        meaning: "`text` or `json`, when `--output` is not given",
    },
    Variable {
        name: JITP_CA_KEY,
        meaning: "where the CA's key is, when `--ca-key` is not given: a file, `pkcs11:…` or `awskms:…`",
    },
    Variable {
        name: JITP_CA_PASSPHRASE,
        meaning: "passphrase of an encrypted CA key, when `--passphrase-file` is not given",
    },
    Variable {
        name: JITP_NEW_CA_PASSPHRASE,
        meaning: "passphrase that `create-intermediate` encrypts the new key with, when `--new-passphrase-file` is not given",
    },
    Variable {
        name: JITP_PKCS11_PIN,
        meaning: "PIN of the token that holds the CA's key, when its URI has no `pin-source`",
    },
    Variable {
        name: JITP_PKCS11_MODULE,
        meaning: "PKCS#11 module of the token, when its URI has no `module-path`; without it p11-kit's, then SoftHSM's",
    },
    Variable {
        name: JITP_DEVICE_PASSPHRASE,
        meaning: "passphrase of device keys that `provision --format pkcs12` and `encrypted-pem` write",
    },
    Variable {
        name: JOB_COMPLETION_INDEX,
        meaning: "part of the fleet that `loadtest run --shard auto` takes, in a Kubernetes Indexed Job",
    },
    Variable {
        name: AWS_BATCH_JOB_ARRAY_INDEX,
        meaning: "the same in an AWS Batch array job",
    },
    Variable {
        name: AWS_BATCH_JOB_ARRAY_SIZE,
        meaning: "how many parts there are in an AWS Batch array job",
    },
    Variable {
        name: JITP_STATION,
        meaning: "number of this station among several that sign with one CA, when `--station` is not given; 1 if neither is",
    },
    Variable {
        name: NO_COLOR,
        meaning: "any value but nothing: no colour in what is written for people",
    },
];
