//! Templates as a whole: what is read, what is refused and where, what comes out for a device.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};

use super::*;

const DEVICE: &str = include_str!("../../../../etc/templates/device.json");
const FLEET: &str = include_str!("../../../../etc/templates/fleet.json");
const ID: &str = "AWS::IoT::Certificate::Id";
const COMMON_NAME: &str = "AWS::IoT::Certificate::CommonName";

fn certificate_values() -> BTreeMap<String, String> {
    values(&[
        (COMMON_NAME, "sensor-17"),
        ("AWS::IoT::Certificate::SerialNumber", "4711"),
        (ID, &"ab".repeat(32)),
    ])
}

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// A template with a thing of these properties, and parameters `A`, `B` and `C` (default "c").
fn thing(properties: Value) -> String {
    json!({
        "Parameters": {"A": {"Type": "String"}, "B": {"Type": "String"}, "C": {"Type": "String", "Default": "c"}},
        "Mappings": {"Map": {"one": {"x": "found", "list": ["l0", "l1"]}, "a": {"x": "by-parameter"}}},
        "Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": properties}}
    })
    .to_string()
}

fn named(name: Value) -> String {
    thing(json!({"ThingName": name}))
}

fn with_policy(properties: Value) -> String {
    json!({
        "Parameters": {"A": {"Type": "String"}},
        "Resources": {"policy": {"Type": "AWS::IoT::Policy", "Properties": properties}}
    })
    .to_string()
}

fn fill_named(name: Value) -> Result<String, TemplateError> {
    let template = Template::parse(&named(name))?;
    let filled = template.fill(&values(&[("A", "a"), ("B", "b,c,d"), ("unused", "x")]))?;
    Ok(filled.thing.unwrap().thing_name)
}

fn refused(text: &str) -> TemplateError {
    Template::parse(text).map(|_| ()).expect_err(text)
}

#[test]
fn the_default_template_makes_what_the_walk_through_needs() {
    let template = Template::parse(DEVICE).unwrap();
    assert_eq!(
        template.declared_parameters(),
        [COMMON_NAME, "AWS::IoT::Certificate::SerialNumber", ID]
    );
    assert_eq!(template.named_policies(), ["IoTAccess"]);
    let filled = template.fill(&certificate_values()).unwrap();
    let thing = filled.thing.unwrap();
    assert_eq!(thing.thing_name, "sensor-17");
    assert!(thing.attributes.is_empty() && thing.thing_groups.is_empty());
    let certificate = filled.certificate.unwrap();
    assert_eq!(certificate.source, CertificateSource::Id("ab".repeat(32)));
    assert_eq!(certificate.status, CertificateStatus::Active);
    let policy = PolicyResource {
        logical_id: "policy".into(),
        source: PolicySource::Name("IoTAccess".into()),
    };
    assert_eq!(filled.policies, [policy]);
}

#[test]
fn the_shipped_fleet_template_is_fit_for_fleet_provisioning_and_tells_its_device_a_topic() {
    let values = [
        ("PolicyName", "FleetDevice"),
        ("ThingTypeName", "Sensor"),
        ("ThingGroupName", "Fleet"),
    ];
    let body = crate::placeholders::fill(FLEET, &values).unwrap();
    let template = Template::parse(&body).unwrap();
    assert_eq!(template.check_fleet(), []);
    assert_eq!(template.fleet_warnings(), []);
    let sent = BTreeMap::from([
        ("License".to_owned(), "123".to_owned()),
        ("AWS::IoT::Certificate::Id".to_owned(), "0".repeat(64)),
    ]);
    let filled = template.fill(&sent).unwrap();
    let thing = filled.thing.unwrap();
    assert_eq!(thing.thing_name, "iot-123");
    assert_eq!(thing.thing_groups, ["Fleet"]);
    let configuration = filled.device_configuration.unwrap();
    assert_eq!(configuration["TelemetryTopic"], "iot-123/telemetry");
}

#[test]
fn a_fleet_template_gets_nothing_from_the_certificate_and_needs_its_id() {
    let fault = |json: &str| {
        let faults = Template::parse(json).unwrap().check_fleet();
        faults.first().map(ToString::to_string).unwrap_or_default()
    };
    let with = |parameter: &str, resources: &str| {
        format!(r#"{{"Parameters": {{{parameter}}}, "Resources": {{{resources}}}}}"#)
    };
    let own = r#""c": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}}"#;
    let name = r#""AWS::IoT::Certificate::CommonName": {"Type": "String"}"#;
    assert!(fault(&with(name, own)).contains("no device sends"));
    let name = r#""AWS::IoT::Certificate::CommonName": {"Type": "String", "Default": "x"}"#;
    assert_eq!(fault(&with(name, own)), "");
    let policy = r#""p": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "P"}}"#;
    assert!(fault(&with("", policy)).contains("no certificate resource"));
    let other =
        r#""c": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "Id"}}}"#;
    let id = r#""Id": {"Type": "String"}"#;
    assert!(fault(&with(id, other)).contains("only by its id"));
}

#[test]
fn what_fails_for_every_device_is_found_before_the_first_one() {
    let path_of = |value: &str| {
        let json = format!(
            r#"{{"Parameters": {{"S": {{"Type": "String"}}}}, "Mappings": {{"M": {{"a": {{"b": "x", "l": ["y"]}}}}}},
                "Resources": {{"c": {{"Type": "AWS::IoT::Certificate", "Properties": {{"CertificateId": {{"Ref": "AWS::IoT::Certificate::Id"}}}}}},
                               "t": {{"Type": "AWS::IoT::Thing", "Properties": {{"ThingName": {value}}}}}}}}}"#
        );
        let faults = match Template::parse(&json) {
            Ok(template) => template.check_fleet(),
            Err(fault) => vec![fault],
        };
        assert!(faults.len() <= 1, "{faults:?}");
        faults.first().map(|fault| fault.path().to_owned())
    };
    let name = "$.Resources.t.Properties.ThingName";
    let certain = [
        (r#"{"Fn::Select": [5, ["a", {"Ref": "S"}]]}"#, ""),
        (r#"{"Fn::Select": [0, [null, "a"]]}"#, ""),
        (r#"{"Fn::Select": [3, {"Fn::Split": ["-", "a-b"]}]}"#, ""),
        (r#"{"Fn::FindInMap": ["M", "a", "z"]}"#, ""),
        (r#"{"Fn::FindInMap": ["M", "a", "l"]}"#, ""),
        (
            r#"{"Fn::Join": ["-", [{"Ref": "S"}, {"Fn::FindInMap": ["N", "a", "b"]}]]}"#,
            ".Fn::Join[1][1]",
        ),
    ];
    for (value, within) in certain {
        let found = path_of(value);
        assert!(found.is_some(), "{value}");
        if !within.is_empty() {
            let found = found.unwrap();
            assert!(
                found.starts_with(name) && found.contains("[1][1]"),
                "{found}"
            );
        }
    }
    for fine in [
        r#"{"Fn::Select": [1, [null, {"Ref": "S"}]]}"#,
        r#"{"Fn::Select": [{"Ref": "S"}, ["a"]]}"#,
        r#"{"Fn::FindInMap": ["M", {"Ref": "S"}, "b"]}"#,
        r#"{"Fn::Select": [3, {"Fn::Split": ["-", {"Ref": "S"}]}]}"#,
        r#"{"Fn::Sub": ["${A}-${S}", {"A": {"Fn::FindInMap": ["M", "a", "b"]}}]}"#,
    ] {
        assert_eq!(path_of(fine), None, "{fine}");
    }
}

#[test]
fn what_a_fleet_template_probably_does_not_mean_is_warned_of() {
    let template = Template::parse(
        r#"{"Parameters": {"Unused": {"Type": "String"}, "License": {"Type": "String"}},
            "Resources": {
                "t": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "always",
                      "AttributePayload": {"l": {"Fn::Sub": "${License}"}}}},
                "c": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}}}}"#,
    );
    let warnings = template.unwrap().fleet_warnings();
    let paths: Vec<&str> = warnings.iter().map(TemplateError::path).collect();
    assert_eq!(
        paths,
        [
            "$.Parameters.Unused",
            "$.Resources.t.Properties.ThingName",
            "$.Resources"
        ],
        "{warnings:?}"
    );
}

#[test]
fn every_shipped_template_of_a_ca_is_fit_for_jitp_and_free_of_warnings() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../etc/templates");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_fleets = path.file_name().is_some_and(|name| name == "fleet.json");
        if !is_fleets
            && path
                .extension()
                .is_some_and(|extension| extension == "json")
        {
            let template = Template::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(template.check_jitp(), [], "{}", path.display());
            assert_eq!(template.warnings(), [], "{}", path.display());
            assert_eq!(
                template.missing_parameters(&certificate_values()),
                [""; 0],
                "{}",
                path.display()
            );
            template.fill(&certificate_values()).unwrap();
            seen += 1;
        }
    }
    assert!(seen >= 2);
}

#[test]
fn the_body_is_compact_and_reads_back_as_the_same_template() {
    let template = Template::parse(DEVICE).unwrap();
    let body = template.to_body();
    assert!(!body.contains('\n') && body.len() < 600, "{body}");
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        serde_json::from_str::<Value>(DEVICE).unwrap()
    );
    assert_eq!(Template::parse(&body).unwrap().to_body(), body);
}

#[test]
fn functions_give_what_cloudformation_gives() {
    let cases = [
        ("literal", json!("plain"), "plain"),
        ("Ref", json!({"Ref": "A"}), "a"),
        ("Ref with a default", json!({"Ref": "C"}), "c"),
        (
            "Join",
            json!({"Fn::Join": ["-", ["x", {"Ref": "A"}, "z"]]}),
            "x-a-z",
        ),
        (
            "Join of a split",
            json!({"Fn::Join": ["_", {"Fn::Split": [",", {"Ref": "B"}]}]}),
            "b_c_d",
        ),
        (
            "Join of a mapped list",
            json!({"Fn::Join": ["", {"Fn::FindInMap": ["Map", "one", "list"]}]}),
            "l0l1",
        ),
        (
            "Select",
            json!({"Fn::Select": [1, ["x", {"Ref": "A"}]]}),
            "a",
        ),
        (
            "Select with the index as text",
            json!({"Fn::Select": ["0", ["x", "y"]]}),
            "x",
        ),
        (
            "Select of a split",
            json!({"Fn::Select": [2, {"Fn::Split": [",", {"Ref": "B"}]}]}),
            "d",
        ),
        (
            "Select past a null",
            json!({"Fn::Select": [1, [null, "y"]]}),
            "y",
        ),
        (
            "FindInMap",
            json!({"Fn::FindInMap": ["Map", "one", "x"]}),
            "found",
        ),
        (
            "FindInMap by parameter",
            json!({"Fn::FindInMap": ["Map", {"Ref": "A"}, "x"]}),
            "by-parameter",
        ),
        ("Sub", json!({"Fn::Sub": "x-${A}-${C}"}), "x-a-c"),
        (
            "Sub with a map",
            json!({"Fn::Sub": ["${A}-${Own}", {"Own": {"Ref": "C"}}]}),
            "a-c",
        ),
        (
            "Sub: its map comes first",
            json!({"Fn::Sub": ["${A}", {"A": "own"}]}),
            "own",
        ),
        (
            "nested",
            json!({"Fn::Join": [":", [{"Fn::Sub": "${A}${A}"}, {"Fn::Select": [0, ["q"]]}]]}),
            "aa:q",
        ),
    ];
    for (name, expression, wanted) in cases {
        assert_eq!(fill_named(expression).as_deref(), Ok(wanted), "{name}");
    }
    let attributes =
        thing(json!({"ThingName": "t", "AttributePayload": {"x": {"Fn::Sub": "[${A}]=1"}}}));
    let filled = Template::parse(&attributes)
        .unwrap()
        .fill(&values(&[("A", "a"), ("B", "b")]))
        .unwrap();
    assert_eq!(filled.thing.unwrap().attributes["x"], "[a]=1");
}

#[test]
fn functions_that_find_nothing_say_what_there_is() {
    const PLACE: &str = "$.Resources.thing.Properties.ThingName";
    let cases = [
        (
            "index too high",
            json!({"Fn::Select": [2, ["x", "y"]]}),
            "asks for element 2 of a list of 2",
        ),
        (
            "negative index",
            json!({"Fn::Select": [-1, ["x"]]}),
            "element -1",
        ),
        (
            "index that is no number",
            json!({"Fn::Select": [{"Ref": "A"}, ["x"]]}),
            "element a",
        ),
        (
            "a null",
            json!({"Fn::Select": [0, [null]]}),
            "which is null",
        ),
        (
            "join of a null",
            json!({"Fn::Join": ["", ["x", null]]}),
            "found null",
        ),
        (
            "unknown mapping by parameter",
            json!({"Fn::FindInMap": [{"Ref": "A"}, "one", "x"]}),
            "there are: Map",
        ),
        (
            "unknown first key",
            json!({"Fn::FindInMap": ["Map", "two", "x"]}),
            "the first key `two`",
        ),
        (
            "unknown second key",
            json!({"Fn::FindInMap": ["Map", "one", "y"]}),
            "there are: list, x",
        ),
        (
            "a list as text",
            json!({"Fn::FindInMap": ["Map", "one", "list"]}),
            "found a list",
        ),
        (
            "a text that is no name",
            json!({"Fn::Sub": "${A} ${B}"}),
            "thing name \"a b,c,d\" is not valid",
        ),
    ];
    for (name, expression, says) in cases {
        let error = fill_named(expression).unwrap_err();
        assert!(error.path().starts_with(PLACE), "{name}: {error}");
        assert!(error.to_string().contains(says), "{name}: {error}");
    }
}

#[test]
fn nested_substitutions_cannot_grow_without_bound() {
    let mut expression = json!({"Fn::Sub": "${A}"});
    for _ in 0..8 {
        expression = json!({"Fn::Sub": ["${X}".repeat(100), {"X": expression}]});
    }
    let error = fill_named(expression).unwrap_err();
    assert!(
        error.to_string().contains("bytes come out of a function"),
        "{error}"
    );
}

#[test]
fn what_is_refused_is_placed_by_its_json_path() {
    let resource = |value: Value| json!({"Resources": {"r": value}}).to_string();
    let certificate = |properties: Value| {
        resource(json!({"Type": "AWS::IoT::Certificate", "Properties": properties}))
    };
    let override_of = |settings: Value| {
        resource(
            json!({"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "t"}, "OverrideSettings": settings}),
        )
    };
    let two = |kind: &str, properties: Value| {
        let one = json!({"Type": kind, "Properties": properties});
        json!({"Resources": {"first": one, "second": one}}).to_string()
    };
    let name = "$.Resources.thing.Properties.ThingName";
    let cases: Vec<(&str, String, &str, &str)> = vec![
        ("not JSON", "{".into(), "$", "not JSON"),
        ("a list", "[]".into(), "$", "expected a template"),
        ("empty", "".into(), "$", "not JSON"),
        ("a repeated key", r#"{"Resources": {"t": 1, "t": 2}}"#.into(), "$.Resources", "`t` occurs twice"),
        ("unknown section", r#"{"Resource": {}}"#.into(), "$.Resource", "did you mean `Resources`"),
        ("no resources", r#"{"Parameters": {}}"#.into(), "$", "`Resources` is missing"),
        ("empty resources", r#"{"Resources": {}}"#.into(), "$.Resources", "Resources is empty"),
        (
            "parameter type",
            r#"{"Parameters": {"AWS::IoT::Certificate::Id": {"Type": "Number"}}, "Resources": {}}"#.into(),
            "$.Parameters['AWS::IoT::Certificate::Id'].Type",
            "`Number` is not one of String",
        ),
        (
            "parameter without type",
            r#"{"Parameters": {"A": {}}, "Resources": {}}"#.into(),
            "$.Parameters.A",
            "`Type` is missing",
        ),
        (
            "default that is no string",
            r#"{"Parameters": {"A": {"Type": "String", "Default": 5}}, "Resources": {}}"#.into(),
            "$.Parameters.A.Default",
            "expected a string, found a number",
        ),
        (
            "unknown resource type",
            resource(json!({"Type": "AWS::IoT::Thng", "Properties": {}})),
            "$.Resources.r.Type",
            "did you mean `AWS::IoT::Thing`",
        ),
        ("no resource type", resource(json!({"Properties": {}})), "$.Resources.r", "`Type` is missing"),
        ("no properties", resource(json!({"Type": "AWS::IoT::Thing"})), "$.Resources.r", "`Properties` is missing"),
        (
            "unknown resource member",
            resource(json!({"Type": "AWS::IoT::Thing", "Property": {}})),
            "$.Resources.r.Property",
            "did you mean `Properties`",
        ),
        (
            "unknown property",
            thing(json!({"ThingNme": "t"})),
            "$.Resources.thing.Properties.ThingNme",
            "did you mean `ThingName`",
        ),
        ("no thing name", thing(json!({})), "$.Resources.thing.Properties", "`ThingName` is missing"),
        ("a number as name", named(json!(5)), name, "expected a string (put it in quotes) or a Ref, found a number"),
        ("a list as name", named(json!(["a"])), name, "found a list"),
        ("null as name", named(Value::Null), name, "found null"),
        ("an empty function", named(json!({})), name, "an empty object"),
        ("two functions", named(json!({"Ref": "A", "Fn::Sub": "x"})), name, "several members"),
        ("unknown function", named(json!({"Fn::Joim": []})), name, "did you mean `Fn::Join`"),
        ("GetAtt", named(json!({"Fn::GetAtt": ["a", "b"]})), name, "is not a function"),
        ("Ref of a number", named(json!({"Ref": 5})), "$.Resources.thing.Properties.ThingName.Ref", "found a number"),
        (
            "undeclared parameter",
            named(json!({"Ref": "AA"})),
            "$.Resources.thing.Properties.ThingName.Ref",
            "`AA`, which is not declared; did you mean `A`?; declared: A, B, C",
        ),
        (
            "undeclared in Sub",
            named(json!({"Fn::Sub": "x-${Nobody}"})),
            "$.Resources.thing.Properties.ThingName['Fn::Sub']",
            "`Nobody`, which is not declared; declared: A, B, C",
        ),
        (
            "Ref to a resource",
            named(json!({"Ref": "thing"})),
            "$.Resources.thing.Properties.ThingName.Ref",
            "the name of a resource",
        ),
        (
            "a policy variable outside a policy",
            named(json!({"Fn::Sub": "${iot:ClientId}"})),
            "$.Resources.thing.Properties.ThingName['Fn::Sub']",
            "not declared",
        ),
        (
            "Join of one argument",
            named(json!({"Fn::Join": ["-"]})),
            "$.Resources.thing.Properties.ThingName['Fn::Join']",
            "found 1 arguments",
        ),
        (
            "Split as text",
            named(json!({"Fn::Split": [",", "a,b"]})),
            "$.Resources.thing.Properties.ThingName['Fn::Split']",
            "gives a list",
        ),
        (
            "Split by nothing",
            named(json!({"Fn::Select": [0, {"Fn::Split": ["", "a"]}]})),
            "$.Resources.thing.Properties.ThingName['Fn::Select'][1]['Fn::Split']",
            "the delimiter is empty",
        ),
        (
            "Ref as list",
            named(json!({"Fn::Select": [0, {"Ref": "A"}]})),
            "$.Resources.thing.Properties.ThingName['Fn::Select'][1].Ref",
            "where a list is expected",
        ),
        (
            "unknown mapping",
            named(json!({"Fn::FindInMap": ["Mop", "one", "x"]})),
            "$.Resources.thing.Properties.ThingName['Fn::FindInMap'][0]",
            "did you mean `Map`",
        ),
        (
            "function in a mapping",
            json!({"Mappings": {"M": {"a": {"b": {"Ref": "A"}}}}, "Resources": {}}).to_string(),
            "$.Mappings.M.a.b",
            "Ref cannot be used inside Mappings",
        ),
        (
            "mapping of one level",
            json!({"Mappings": {"M": {"a": "b"}}, "Resources": {}}).to_string(),
            "$.Mappings.M.a",
            "two levels of keys",
        ),
        (
            "attributes as list",
            thing(json!({"ThingName": "t", "AttributePayload": ["a"]})),
            "$.Resources.thing.Properties.AttributePayload",
            "found a list",
        ),
        (
            "an attribute that is a number",
            thing(json!({"ThingName": "t", "AttributePayload": {"a": 1}})),
            "$.Resources.thing.Properties.AttributePayload.a",
            "put it in quotes",
        ),
        (
            "a literal name that AWS refuses",
            named(json!("a.b")),
            name,
            "the thing name \"a.b\" is not valid: it contains '.'",
        ),
        (
            "an attribute name with a space",
            thing(json!({"ThingName": "t", "AttributePayload": {"a b": "x"}})),
            "$.Resources.thing.Properties.AttributePayload['a b']",
            "attribute name",
        ),
        (
            "a group that cannot exist",
            thing(json!({"ThingName": "t", "ThingGroups": ["ok", "not ok"]})),
            "$.Resources.thing.Properties.ThingGroups[1]",
            "thing group name",
        ),
        (
            "four attributes without a type",
            thing(json!({"ThingName": "t", "AttributePayload": {"a": "1", "b": "2", "c": "3", "d": "4"}})),
            "$.Resources.thing.Properties.AttributePayload",
            "4 attributes, and AWS IoT takes at most 3",
        ),
        ("two things", two("AWS::IoT::Thing", json!({"ThingName": "t"})), "$.Resources.second", "`first` is one already"),
        (
            "two certificates",
            two("AWS::IoT::Certificate", json!({"CertificateId": {"Ref": ID}})),
            "$.Resources.second",
            "a second AWS::IoT::Certificate",
        ),
        ("no certificate source", certificate(json!({})), "$.Resources.r.Properties", "nothing says which certificate"),
        (
            "two certificate sources",
            certificate(json!({"CertificateId": {"Ref": ID}, "CertificatePem": "x"})),
            "$.Resources.r.Properties",
            "CertificateId and CertificatePem stand together",
        ),
        (
            "a CA without its certificate",
            certificate(json!({"CACertificatePem": "x"})),
            "$.Resources.r.Properties",
            "CACertificatePem stands alone",
        ),
        (
            "a status that does not exist",
            certificate(json!({"CertificateId": {"Ref": ID}, "Status": "ACTVE"})),
            "$.Resources.r.Properties.Status",
            "`ACTVE` is not one of ACTIVE, INACTIVE; did you mean `ACTIVE`?",
        ),
        (
            "a principal type that does not exist",
            certificate(json!({"CertificateId": {"Ref": ID}, "ThingPrincipalType": "EXCLUSIVE"})),
            "$.Resources.r.Properties.ThingPrincipalType",
            "EXCLUSIVE_THING, NON_EXCLUSIVE_THING",
        ),
        (
            "policy name and document",
            with_policy(json!({"PolicyName": "p", "PolicyDocument": "{}"})),
            "$.Resources.policy.Properties",
            "stand together; give exactly one of PolicyName, PolicyDocument",
        ),
        (
            "neither policy name nor document",
            with_policy(json!({})),
            "$.Resources.policy.Properties",
            "give exactly one of PolicyName, PolicyDocument",
        ),
        (
            "a document that is not JSON",
            with_policy(json!({"PolicyDocument": "{\"Version\": "})),
            "$.Resources.policy.Properties.PolicyDocument",
            "the policy document",
        ),
        (
            "Join in a policy",
            with_policy(json!({"PolicyName": {"Fn::Join": ["", ["a"]]}})),
            "$.Resources.policy.Properties.PolicyName['Fn::Join']",
            "Fn::Join cannot be used inside a policy",
        ),
        (
            "Join deep in a policy document",
            with_policy(json!({"PolicyDocument": {"Statement": [{"Resource": {"Fn::Join": ["", ["a"]]}}]}})),
            "$.Resources.policy.Properties.PolicyDocument.Statement[0].Resource['Fn::Join']",
            "use Fn::Sub",
        ),
        (
            "override settings of a policy",
            json!({"Resources": {"p": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "p"}, "OverrideSettings": {}}}})
                .to_string(),
            "$.Resources.p",
            "a policy has no override settings",
        ),
        (
            "unknown override setting",
            override_of(json!({"ThingGroup": "FAIL"})),
            "$.Resources.r.OverrideSettings.ThingGroup",
            "did you mean `ThingGroups`",
        ),
        (
            "a type cannot be merged",
            override_of(json!({"ThingTypeName": "MERGE"})),
            "$.Resources.r.OverrideSettings.ThingTypeName",
            "`MERGE` is not one of DO_NOTHING, REPLACE, FAIL",
        ),
        (
            "an override in small letters",
            override_of(json!({"ThingGroups": "replace"})),
            "$.Resources.r.OverrideSettings.ThingGroups",
            "did you mean `REPLACE`",
        ),
        (
            "an override in both spellings",
            override_of(json!({"ThingGroups": "FAIL", "THING_GROUPS": "FAIL"})),
            "$.Resources.r.OverrideSettings",
            "ThingGroups and THING_GROUPS stand together",
        ),
        (
            "a nested device configuration",
            json!({"Resources": {"t": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "t"}}},
                   "DeviceConfiguration": {"a": {"b": "c"}}})
            .to_string(),
            "$.DeviceConfiguration.a",
            "a device configuration is flat",
        ),
        ("too long", named(json!("x".repeat(10_241))), "$", "at most 10240"),
        ("nested too deep", "[".repeat(100_000), "$[0]", "nested deeper than 40 levels"),
    ];
    for (name, text, path, says) in cases {
        let error = refused(&text);
        if name == "nested too deep" {
            assert!(error.path().starts_with(path), "{name}: {error}");
        } else {
            assert_eq!(error.path(), path, "{name}: {error}");
        }
        assert!(error.to_string().contains(says), "{name}: {error}");
    }
}

#[test]
fn the_certificate_id_may_be_referred_to_undeclared() {
    let template = json!({"Resources": {"c": {
        "Type": "AWS::IoT::Certificate",
        "Properties": {"CertificateId": {"Ref": ID}, "Status": "Inactive"},
        "OverrideSettings": {"STATUS": "DO_NOTHING"}
    }}});
    let template = Template::parse(&template.to_string()).unwrap();
    let certificate = template
        .fill(&certificate_values())
        .unwrap()
        .certificate
        .unwrap();
    assert_eq!(certificate.status, CertificateStatus::Inactive);
    assert_eq!(certificate.override_status, Some(Override::DoNothing));
    assert_eq!(
        certificate.thing_principal_type,
        ThingPrincipalType::NonExclusive
    );
    let error = template.fill(&BTreeMap::new()).unwrap_err();
    assert_eq!(error.path(), "$.Resources.c.Properties.CertificateId");
}

#[test]
fn override_settings_have_two_spellings() {
    for keys in [
        ["AttributePayload", "ThingTypeName", "ThingGroups"],
        ["ATTRIBUTE_PAYLOAD", "THING_TYPE_NAME", "THING_GROUPS"],
    ] {
        let template = json!({"Resources": {"t": {
            "Type": "AWS::IoT::Thing",
            "Properties": {"ThingName": "t"},
            "OverrideSettings": {keys[0]: "MERGE", keys[1]: "REPLACE", keys[2]: "FAIL"}
        }}});
        let filled = Template::parse(&template.to_string())
            .unwrap()
            .fill(&BTreeMap::new())
            .unwrap();
        let wanted = OverrideSettings {
            attribute_payload: Some(Override::Merge),
            thing_type_name: Some(Override::Replace),
            thing_groups: Some(Override::Fail),
        };
        assert_eq!(filled.thing.unwrap().override_settings, wanted);
    }
}

#[test]
fn a_declared_parameter_needs_a_value_or_a_default_even_unused() {
    let template = Template::parse(&named(json!("t"))).unwrap();
    assert_eq!(template.missing_parameters(&values(&[("A", "a")])), ["B"]);
    let error = template.fill(&BTreeMap::new()).unwrap_err();
    assert_eq!(error.path(), "$.Parameters");
    assert!(error.to_string().contains("no value for A, B"), "{error}");
}

#[test]
fn filled_values_are_checked_like_written_ones() {
    let properties = json!({
        "ThingName": {"Ref": "A"},
        "ThingTypeName": {"Ref": "C"},
        "ThingGroups": {"Fn::Split": [",", {"Ref": "B"}]},
        "BillingGroup": {"Ref": "C"},
        "AttributePayload": {"a": {"Ref": "A"}}
    });
    let template = Template::parse(&thing(properties)).unwrap();
    let fill = |a: &str, b: &str, c: &str| template.fill(&values(&[("A", a), ("B", b), ("C", c)]));
    let filled = fill("a", "g1,g2,g1", "c").unwrap().thing.unwrap();
    assert_eq!(
        (
            filled.thing_groups.as_slice(),
            filled.billing_group.as_deref()
        ),
        (&["g1".into(), "g2".into()][..], Some("c"))
    );
    let eleven: Vec<String> = (0..11).map(|number| format!("g{number}")).collect();
    let cases = [
        (
            fill("a b", "g", "c"),
            "AttributePayload.a",
            "attribute value",
        ),
        (fill("a.b", "g", "c"), "ThingName", "thing name"),
        (fill("a", "g,,h", "c"), "ThingGroups", "it is empty"),
        (
            fill("a", &eleven.join(","), "c"),
            "ThingGroups",
            "11 thing groups, and AWS IoT takes at most 10",
        ),
        (fill("a", "g", "é"), "ThingTypeName", "thing type name"),
        (fill("", "g", "c"), "ThingName", "it is empty"),
        (
            fill(&"n".repeat(129), "g", "c"),
            "ThingName",
            "129 characters",
        ),
    ];
    for (outcome, place, says) in cases {
        let error = outcome.unwrap_err();
        assert_eq!(
            error.path(),
            format!("$.Resources.thing.Properties.{place}"),
            "{error}"
        );
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn policy_variables_in_documents_survive_and_parameters_are_replaced() {
    let text = r#"{"Version":"2012-10-17","Statement":[{"Resource":"arn:aws:iot:*:*:topic/${iot:ClientId}"}]}"#;
    let document = |properties: Value| {
        let filled = Template::parse(&with_policy(properties))
            .unwrap()
            .fill(&values(&[("A", "a")]))
            .unwrap();
        match filled.policies.into_iter().next().unwrap().source {
            PolicySource::Document(document) => document,
            PolicySource::Name(name) => panic!("{name}"),
        }
    };
    // A string is taken as it is: white space, order of keys and all.
    assert_eq!(document(json!({"PolicyDocument": text})), text);
    let object = json!({"PolicyDocument": {"Version": "2012-10-17", "Statement": [
        {"Resource": ["t/${iot:Connection.Thing.ThingName}/${*}", {"Ref": "A"}, {"Fn::Sub": "${A}/${iot:ClientId}/${!A}"}],
         "Condition": {"Bool": {"x": true}}}
    ]}});
    let wanted = json!({"Version": "2012-10-17", "Statement": [
        {"Resource": ["t/${iot:Connection.Thing.ThingName}/${*}", "a", "a/${iot:ClientId}/${A}"],
         "Condition": {"Bool": {"x": true}}}
    ]});
    assert_eq!(document(object), wanted.to_string());
    assert_eq!(document(json!({"PolicyDocument": {"Fn::Sub": text}})), text);
}

#[test]
fn a_document_without_a_name_gets_the_hash_of_its_text() {
    // printf '{}' | sha1sum
    assert_eq!(
        policy_name_for_document("{}"),
        "BF21A9E8FBC5A3846FB05B4FA0859E0917B2202F"
    );
}

#[test]
fn a_device_configuration_keeps_the_types_of_its_constants() {
    let template = json!({
        "Parameters": {"A": {"Type": "String"}},
        "Resources": {"t": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "t"}}},
        "DeviceConfiguration": {"url": {"Fn::Sub": "https://${A}.example"}, "retries": 5, "on": true, "name": "x"}
    });
    let template = Template::parse(&template.to_string()).unwrap();
    let filled = template.fill(&values(&[("A", "a")])).unwrap();
    let wanted = json!({"url": "https://a.example", "retries": 5, "on": true, "name": "x"});
    assert_eq!(filled.device_configuration.map(Value::Object), Some(wanted));
    let warnings: Vec<String> = template
        .warnings()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(warnings.iter().any(|warning| {
        warning.starts_with("$.DeviceConfiguration.url: Fn::Sub is documented for fleet")
    }));
    assert!(
        warnings
            .iter()
            .any(|warning| warning.starts_with("$.DeviceConfiguration: ")),
        "{warnings:?}"
    );
}

#[test]
fn jitp_is_refused_what_it_can_never_fill() {
    let check = |parameter: &str, certificate: Value| {
        let mut resources = json!({"t": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": parameter}}}});
        if !certificate.is_null() {
            resources["c"] = json!({"Type": "AWS::IoT::Certificate", "Properties": certificate});
        }
        let template =
            json!({"Parameters": {parameter: {"Type": "String"}}, "Resources": resources});
        let faults = Template::parse(&template.to_string()).unwrap().check_jitp();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let own = json!({"CertificateId": {"Ref": ID}});
    assert_eq!(check(COMMON_NAME, own.clone()), [""; 0]);
    assert_eq!(
        check(
            COMMON_NAME,
            json!({"CertificateId": {"Fn::Sub": format!("${{{ID}}}")}})
        ),
        [""; 0]
    );
    let cases = [
        (
            check("AWS::IoT::Certificate::Locality", own.clone()),
            "$.Parameters['AWS::IoT::Certificate::Locality']: no certificate",
        ),
        (
            check("AWS::IoT::Certificate::ComonName", own),
            "did you mean `AWS::IoT::Certificate::CommonName`?",
        ),
        (
            check(COMMON_NAME, Value::Null),
            "there is no certificate resource",
        ),
        (
            check(COMMON_NAME, json!({"CertificatePem": "x"})),
            "$.Resources.c.Properties: just-in-time provisioning knows",
        ),
        (
            check(COMMON_NAME, json!({"CertificateId": "ab".repeat(32)})),
            "write \"CertificateId\": {\"Ref\"",
        ),
    ];
    for (faults, says) in cases {
        assert!(
            faults.len() == 1 && faults[0].contains(says),
            "{says}: {faults:?}"
        );
    }
}

#[test]
fn names_that_must_exist_beforehand_are_those_without_parameters() {
    let properties = json!({
        "ThingName": {"Ref": "A"},
        "ThingTypeName": {"Fn::FindInMap": ["Map", "one", "x"]},
        "ThingGroups": ["g1", {"Ref": "A"}, {"Fn::Join": ["-", ["g", "2"]]}],
        "BillingGroup": "billing"
    });
    let template = Template::parse(&thing(properties)).unwrap();
    assert_eq!(template.thing_types(), ["found"]);
    assert_eq!(template.thing_groups(), ["g1", "g-2"]);
    assert_eq!(template.billing_groups(), ["billing"]);
    assert_eq!(template.named_policies(), [""; 0]);
    assert_eq!(
        Template::parse(&with_policy(json!({"PolicyName": {"Ref": "A"}})))
            .unwrap()
            .named_policies(),
        [""; 0]
    );
}
