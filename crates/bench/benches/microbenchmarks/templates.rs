//! Registration templates: read once a registration, filled in once a device.

use std::collections::BTreeMap;

use divan::Bencher;
use jitp_core::template::Template;

const TEMPLATES: [(&str, &str); 2] = [
    (
        "device.json",
        include_str!("../../../../etc/templates/device.json"),
    ),
    (
        "fleet-attributes.json",
        include_str!("../../../../etc/templates/fleet-attributes.json"),
    ),
];

#[divan::bench(args = ["device.json", "fleet-attributes.json"])]
fn parse(bencher: Bencher, name: &str) {
    let text = text(name);
    bencher.bench_local(|| Template::parse(text).expect("a template"));
}

/// With what a certificate offers.
#[divan::bench(args = ["device.json", "fleet-attributes.json"])]
fn fill(bencher: Bencher, name: &str) {
    let template = Template::parse(text(name)).expect("a template");
    let values: BTreeMap<String, String> = [
        ("CommonName", "sensor-17"),
        (
            "Id",
            "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
        ),
        ("SerialNumber", "271828182845904523536028747135266249775"),
        ("Organization", "Acme"),
        ("OrganizationalUnit", "line-2"),
        ("Country", "LU"),
    ]
    .map(|(name, value)| (format!("AWS::IoT::Certificate::{name}"), value.to_owned()))
    .into();
    bencher.bench_local(|| template.fill(&values).expect("a template filled in"));
}

fn text(name: &str) -> &'static str {
    let found = TEMPLATES.iter().find(|(known, _)| *known == name);
    found.expect("one of the templates above").1
}
