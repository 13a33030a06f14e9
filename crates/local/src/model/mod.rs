//! The service model: one table of operations, where every member travels, and within which limits.
//!
//! The table is extracted from botocore (`crates/local/model/NOTICE`), read once on first use, and drives
//! routing, input validation and error statuses; handlers hold only meaning.

mod form;
mod input;
mod pattern;
mod route;
mod table;
mod validate;

use std::sync::LazyLock;

pub use form::{Form, read_form};
pub use input::{Input, Request, read_input};
pub use table::{Location, Member, Operation, Route, Shape, ShapeKind, Table};

/// The services with a table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Service {
    /// The control plane.
    Iot,
    /// The data plane over HTTP.
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
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Iot,
        Self::IotData,
        Self::Lambda,
        Self::Iam,
        Self::Sts,
        Self::Sqs,
        Self::CloudWatch,
    ];

    /// The name botocore has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Iot => "iot",
            Self::IotData => "iot-data",
            Self::Lambda => "lambda",
            Self::Iam => "iam",
            Self::Sts => "sts",
            Self::Sqs => "sqs",
            Self::CloudWatch => "cloudwatch",
        }
    }
}

/// What a value breaks of its shape's rules, in the words of AWS.
#[cfg(test)]
pub(crate) fn check(
    table: &Table,
    shape: &Shape,
    value: &serde_json::Value,
    path: &str,
) -> Result<(), String> {
    validate::check(table, shape, value, path).map_err(|violation| violation.message())
}

static IOT: LazyLock<Table> = LazyLock::new(|| Table::parse(include_str!("../../model/iot.json")));
static IOT_DATA: LazyLock<Table> =
    LazyLock::new(|| Table::parse(include_str!("../../model/iot-data.json")));
static LAMBDA: LazyLock<Table> =
    LazyLock::new(|| Table::parse(include_str!("../../model/lambda.json")));

static IAM: LazyLock<Table> = LazyLock::new(|| Table::parse(include_str!("../../model/iam.json")));
static STS: LazyLock<Table> = LazyLock::new(|| Table::parse(include_str!("../../model/sts.json")));
static SQS: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::parse(include_str!("../../model/sqs.json"));
    // The model says attributes of a queue; AWS takes those of a message, as everybody sends them.
    table.correct_member(
        "ReceiveMessageRequest",
        "AttributeNames",
        "MessageSystemAttributeList",
    );
    table
});

static CLOUDWATCH: LazyLock<Table> =
    LazyLock::new(|| Table::parse(include_str!("../../model/cloudwatch.json")));

/// The table of a service.
pub fn table(service: Service) -> &'static Table {
    match service {
        Service::Iot => &IOT,
        Service::IotData => &IOT_DATA,
        Service::Lambda => &LAMBDA,
        Service::Iam => &IAM,
        Service::Sts => &STS,
        Service::Sqs => &SQS,
        Service::CloudWatch => &CLOUDWATCH,
    }
}

#[cfg(test)]
mod tests {
    use super::pattern::Pattern;
    use super::*;

    #[test]
    fn the_tables_hold_every_operation_with_all_its_shapes() {
        assert_eq!(table(Service::Iot).operations().len(), 272);
        assert_eq!(table(Service::IotData).operations().len(), 8);
        assert_eq!(table(Service::Lambda).operations().len(), 91);
        assert_eq!(table(Service::Iam).operations().len(), 180);
        assert_eq!(table(Service::Sts).operations().len(), 11);
        assert_eq!(table(Service::Sqs).operations().len(), 23);
        assert_eq!(table(Service::CloudWatch).operations().len(), 59);
    }

    #[test]
    fn every_pattern_of_the_model_compiles() {
        for service in Service::ALL {
            for shape in table(service).shapes() {
                // What looks around, in AWS Lambda's aliases, event sources and buckets, judges
                // nothing that is served here.
                let needed = |pattern: &&Pattern| {
                    !["(?!", "(?<!"]
                        .iter()
                        .any(|part| pattern.text().contains(part))
                };
                if let Some(pattern) = shape.pattern().filter(needed) {
                    assert!(pattern.compiles(), "{}: {}", shape.name, pattern.text());
                }
            }
        }
    }

    #[test]
    fn statuses_of_errors_are_those_of_the_model() {
        let table = table(Service::Iot);
        assert_eq!(table.error_status("CertificateStateException"), Some(406));
        assert_eq!(table.error_status("LimitExceededException"), Some(410));
        assert_eq!(table.error_status("ThrottlingException"), Some(400));
        assert_eq!(table.error_status("InternalFailureException"), Some(500));
        assert_eq!(table.error_status("NoSuchException"), None);
        // By the name on the wire, which is not that of the shape.
        let iam = super::table(Service::Iam);
        assert_eq!(iam.error_status("NoSuchEntity"), Some(404));
        assert!(iam.operation("GetRole").unwrap().declares("NoSuchEntity"));
    }
}
