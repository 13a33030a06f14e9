//! The service model: one table of operations, where every member travels, and within which limits.
//!
//! The table is extracted from botocore (`crates/local/model/NOTICE`), read once on first use, and drives
//! routing, input validation and error statuses; handlers hold only meaning.

mod input;
mod pattern;
mod route;
mod table;
mod validate;

use std::sync::LazyLock;

pub use input::{Input, Request, read_input};
pub use route::{Route, Service};
pub use table::{Location, Member, Operation, Shape, ShapeKind, Table};

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

/// The table of a service.
pub fn table(service: Service) -> &'static Table {
    match service {
        Service::Iot => &IOT,
        Service::IotData => &IOT_DATA,
        Service::Lambda => &LAMBDA,
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
    }

    #[test]
    fn every_pattern_of_the_model_compiles() {
        for service in [Service::Iot, Service::IotData, Service::Lambda] {
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
    }
}
