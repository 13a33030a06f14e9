//! The examples and tables of the guide's SQL reference, as tests.

use serde_json::{Value, json};

use super::*;

struct World;

impl Surroundings for World {
    fn now_ms(&self) -> i64 {
        1_481_825_251_155
    }

    fn account_id(&self) -> &str {
        "123456789012"
    }

    fn new_uuid(&self) -> String {
        "123a4567-b89c-42d3-a456-789012345000".to_owned()
    }

    fn random(&self) -> f64 {
        0.25
    }

    fn external(&self, function: &str, arguments: &[Option<Value>]) -> Result<Value, String> {
        match arguments {
            [Some(Value::String(name)), ..] if name == "known" => Ok(json!({ "temp": 33 })),
            _ => Err(format!("{function} has no answer")),
        }
    }
}

const PAYLOAD: &str = r#"{
    "color": "red", "temperature": 50, "flag": true, "none": null, "ten": 10.0, "half": 0.5,
    "nested": {"red": 255, "deeper": {"x": [1, 2]}}, "list": [1, "two", {"n": 3}],
    "e": [
        {"n": "temperature", "u": "Cel", "t": 1234, "v": 22.5},
        {"n": "light", "u": "lm", "t": 1235, "v": 135},
        {"n": "acidity", "u": "pH", "t": 1235, "v": 7}
    ],
    "data2": {"a": "first", "b": "second", "c": [{"x": 1}, {"x": 2}]},
    "encoded": "eyAidGVtcGVyYXR1cmUiOiAzMyB9Cg=="
}"#;

fn run(sql: &str, payload: &[u8], version: SqlVersion) -> Result<Option<Vec<u8>>, EvaluationError> {
    let rule = RuleSql::parse(sql, version).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let message = Message {
        topic: "things/myThings/thingOne",
        payload,
        client_id: Some("thingOne"),
        principal: Some("ba67293af50bf2506f5f93469686da660c7c844e7b3950bfb16813e0d31e9373"),
        source_ip: Some("127.0.0.1"),
        trace_id: Some("12345678-1234-1234-1234-123456789012"),
        properties: Properties {
            content_type: Some("text/plain"),
            correlation_data: Some(b"\x01\x02"),
            user: &[("k".to_owned(), "v".to_owned())],
            ..Properties::default()
        },
    };
    rule.on(&message, &World)?.output()
}

/// What an expression gives in a version: Some JSON, or none for Undefined.
fn value(expression: &str, version: SqlVersion) -> Option<Value> {
    let sql = format!("SELECT {expression} AS it FROM 'a'");
    let output = run(&sql, PAYLOAD.as_bytes(), version).unwrap().unwrap();
    let mut object: Value = serde_json::from_slice(&output).unwrap();
    object.as_object_mut().unwrap().remove("it")
}

fn expect(version: SqlVersion, cases: &[(&str, Option<Value>)]) {
    for (expression, expected) in cases {
        let found = value(expression, version);
        assert_eq!(&found, expected, "{expression} in {version}");
    }
}

#[test]
fn functions_give_what_the_guide_says() {
    let is = Some::<Value>;
    expect(
        SqlVersion::V2016_03_23,
        &[
            ("abs(-5)", is(json!(5))),
            ("abs(\"-5.123\")", is(json!(5.123))),
            ("abs(true)", None),
            ("abs(missing)", None),
            ("accountid()", is(json!("123456789012"))),
            ("acos(0)", is(json!(std::f64::consts::FRAC_PI_2))),
            ("acos(2)", None),
            ("atan2(1, 0)", is(json!(std::f64::consts::FRAC_PI_2))),
            ("bitand(13, 5)", is(json!(5))),
            ("bitor(8, 5)", is(json!(13))),
            ("bitxor(13, 5)", is(json!(8))),
            ("bitnot(13)", is(json!(-14))),
            ("ceil(1.2)", is(json!(2))),
            ("ceil(-1.2)", is(json!(-1))),
            ("chr(65)", is(json!("A"))),
            ("chr(49)", is(json!("1"))),
            ("chr(300)", None),
            ("clientid()", is(json!("thingOne"))),
            ("concat()", None),
            ("concat([1, 2, 3], 4)", is(json!([1, 2, 3, 4]))),
            (
                "concat([1, 2, 3], \"hello\", [4, 5, 6])",
                is(json!([1, 2, 3, "hello", 4, 5, 6])),
            ),
            ("concat(\"con\", \"cat\")", is(json!("concat"))),
            ("concat(1, \"hello\")", is(json!("1hello"))),
            ("concat(\"he\",\"is\",\"man\")", is(json!("heisman"))),
            ("cos(0)", is(json!(1))),
            ("cosh(2.3)", is(json!(5.037220649268761))),
            ("decode(encoded, 'base64').temperature", is(json!(33))),
            ("decode('aGVsbG8=', 'base64')", is(json!("hello"))),
            ("decode('%%', 'base64')", is(Value::Null)),
            ("encode(color, 'base64')", is(json!("cmVk"))),
            ("endswith(\"cat\",\"at\")", is(json!(true))),
            ("endswith(none, \"at\")", None),
            ("floor(1.2)", is(json!(1))),
            ("floor(-1.2)", is(json!(-2))),
            ("get([\"a\", \"b\", \"c\"], 1)", is(json!("b"))),
            ("get({\"a\":\"b\"}, \"a\")", is(json!("b"))),
            ("get(\"abc\", 0)", is(json!("a"))),
            ("get(list, 2).n", is(json!(3))),
            ("get(list, 3)", None),
            ("get(list, -1)", None),
            ("get(*, 'color')", is(json!("red"))),
            ("get_or_default(missing, 'x')", is(json!("x"))),
            ("get_or_default(none, 'x')", is(json!("x"))),
            ("get_or_default(color, 'x')", is(json!("red"))),
            (
                "get_or_default(get_thing_shadow('unknown', 'role'), 'x')",
                is(json!("x")),
            ),
            ("get_thing_shadow('known', 'role').temp", is(json!(33))),
            ("get_mqtt_property('content_type')", is(json!("text/plain"))),
            ("get_mqtt_property('correlation_data')", is(json!("AQI="))),
            (
                "get_mqtt_property('format_indicator')",
                is(json!("UNSPECIFIED_BYTES")),
            ),
            ("get_mqtt_property('response_topic')", None),
            ("get_user_properties('k')", is(json!(["v"]))),
            ("get_user_properties()", is(json!([{ "k": "v" }]))),
            ("get_user_properties('x')", None),
            (
                "md5(\"hello\")",
                is(json!("5d41402abc4b2a76b9719d911017c592")),
            ),
            (
                "sha1('')",
                is(json!("da39a3ee5e6b4b0d3255bfef95601890afd80709")),
            ),
            (
                "sha256('')",
                is(json!(
                    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
                )),
            ),
            ("indexof(\"abcd\", \"bc\")", is(json!(1))),
            ("isNull(5)", is(json!(false))),
            ("isNull(Null)", is(json!(true))),
            ("isNull(missing)", is(json!(false))),
            ("isUndefined(5)", is(json!(false))),
            ("isUndefined(floor([1,2,3]))", is(json!(true))),
            ("length(\"hi\")", is(json!(2))),
            ("length(false)", is(json!(5))),
            ("ln(2.718281828459045)", is(json!(1))),
            ("log(100)", is(json!(2))),
            ("log(0)", None),
            ("lower(\"HELLO\")", is(json!("hello"))),
            ("lower([\"HELLO\"])", is(json!("[\"hello\"]"))),
            ("lpad(\"hello\", 2)", is(json!("  hello"))),
            ("lpad(1, 3)", is(json!("   1"))),
            ("ltrim(\" h i \")", is(json!("h i "))),
            ("mod(8, 3)", is(json!(2))),
            ("remainder(8, 3)", is(json!(2))),
            ("8 % 3", is(json!(2))),
            ("mod(8, 0)", None),
            ("nanvl(8, 3)", is(json!(8))),
            ("nanvl(missing, 3)", is(json!(3))),
            ("nanvl(none, 3)", is(json!(3))),
            (
                "newuuid()",
                is(json!("123a4567-b89c-42d3-a456-789012345000")),
            ),
            ("numbytes(\"hi\")", is(json!(2))),
            ("numbytes(\"€\")", is(json!(3))),
            (
                "parse_time(\"yyyy.MM.dd G 'at' HH:mm:ss z\", 100000000)",
                is(json!("1970.01.02 AD at 03:46:40 UTC")),
            ),
            ("parse_time('yyyy', timestamp(), 'UTC')", is(json!("2016"))),
            (
                "parse_time(\"yyyy-MM-dd'T'HH:mm:ss.SSSZZ\", 0, '+01:30')",
                is(json!("1970-01-01T01:30:00.000+01:30")),
            ),
            (
                "parse_time('EEE MMM d h a', 0)",
                is(json!("Thu Jan 1 12 AM")),
            ),
            ("parse_time('yyyy', 0, 'Nowhere/None')", None),
            ("power(2, 5)", is(json!(32))),
            (
                "principal()",
                is(json!(
                    "ba67293af50bf2506f5f93469686da660c7c844e7b3950bfb16813e0d31e9373"
                )),
            ),
            ("rand()", is(json!(0.25))),
            ("regexp_matches(\"aaaa\", \"a{2,}\")", is(json!(true))),
            ("regexp_matches(\"aaaa\", \"b\")", is(json!(false))),
            ("regexp_matches(\"aaaa\", \"(\")", None),
            ("regexp_replace(\"abcd\", \"bc\", \"x\")", is(json!("axd"))),
            (
                "regexp_replace(\"abcd\", \"b(.*)d\", \"$1\")",
                is(json!("ac")),
            ),
            ("regexp_substr(\"hihihello\", \"hi\")", is(json!("hi"))),
            ("regexp_substr(\"hihihello\", \"(hi)*\")", is(json!("hihi"))),
            ("replace(\"abcd\", \"bc\", \"x\")", is(json!("axd"))),
            ("rpad(\"hello\", 2)", is(json!("hello  "))),
            ("round(1.2)", is(json!(1))),
            ("round(1.5)", is(json!(2))),
            ("round(-1.1)", is(json!(-1))),
            ("round(-1.5)", is(json!(-2))),
            ("rtrim(\" h i \")", is(json!(" h i"))),
            ("sign(-7)", is(json!(-1))),
            ("sign(0)", is(json!(0))),
            ("sinh(2.3)", is(json!(4.936961805545957))),
            ("sourceip()", is(json!("127.0.0.1"))),
            ("substring(\"012345\", 0)", is(json!("012345"))),
            ("substring(\"012345\", 2.745)", is(json!("2345"))),
            ("substring(123, 2)", is(json!("3"))),
            ("substring(\"012345\", -1)", is(json!("012345"))),
            ("substring(true, 1.2)", is(json!("rue"))),
            ("substring(false, -2.411E247)", is(json!("false"))),
            ("substring(\"012345\", 1, 3)", is(json!("12"))),
            ("substring(\"012345\", -50, 50)", is(json!("012345"))),
            ("substring(\"012345\", 3, 1)", is(json!(""))),
            ("sql_version()", is(json!("2016-03-23"))),
            ("sqrt(9)", is(json!(3))),
            ("sqrt(-1)", None),
            ("startswith(\"ranger\",\"ran\")", is(json!(true))),
            ("tanh(2.3)", is(json!(0.9800963962661914))),
            (
                "time_to_epoch(\"2020-04-03 09:45:18 UTC+01:00\", \"yyyy-MM-dd HH:mm:ss VV\")",
                is(json!(1_585_903_518_000_i64)),
            ),
            (
                "time_to_epoch(\"18 December 2015\", \"dd MMMM yyyy\")",
                is(json!(1_450_396_800_000_i64)),
            ),
            ("time_to_epoch('tomorrow', 'yyyy')", None),
            ("timestamp()", is(json!(1_481_825_251_155_i64))),
            ("topic()", is(json!("things/myThings/thingOne"))),
            ("topic(1)", is(json!("things"))),
            ("topic(4)", None),
            ("topic(0)", None),
            (
                "traceid()",
                is(json!("12345678-1234-1234-1234-123456789012")),
            ),
            (
                "transform(\"enrichArray\", {\"key\": temperature}, [{'a': 3}, {'b': 4}])",
                is(json!([{"a": 3, "key": 50}, {"b": 4, "key": 50}])),
            ),
            (
                "transform('enrichArray', (select a, b from data2), (select value c from data2))",
                is(
                    json!([{"x": 1, "a": "first", "b": "second"}, {"x": 2, "a": "first", "b": "second"}]),
                ),
            ),
            ("transform('other', {}, [])", None),
            ("trim(\" hi \")", is(json!("hi"))),
            ("trunc(2.3, 0)", is(json!(2))),
            ("trunc(2.3123, 2)", is(json!(2.31))),
            ("trunc(2.888, 2)", is(json!(2.88))),
            ("trunc(2.00, 5)", is(json!(2))),
            ("upper(\"hello\")", is(json!("HELLO"))),
            ("upper()", None),
        ],
    );
}

#[test]
fn operators_convert_as_their_tables_say() {
    let is = Some::<Value>;
    expect(
        SqlVersion::V2016_03_23,
        &[
            ("true AND false", is(json!(false))),
            ("'TRUE' AND true", is(json!(true))),
            ("true AND missing", None),
            ("true OR 'no'", None),
            ("NOT 'False'", is(json!(true))),
            ("NOT 1", None),
            ("2 > '1.5'", is(json!(true))),
            ("2 > 'x'", None),
            ("2 >= 2.0", is(json!(true))),
            ("1 < missing", None),
            ("true < 2", None),
            ("1 = 1.0", is(json!(true))),
            ("1 = '1'", is(json!(false))),
            ("1 <> '1'", is(json!(true))),
            ("none = null", is(json!(true))),
            ("missing = null", None),
            ("[1, 2] = [1, 2.0]", is(json!(true))),
            ("[1, 2] = [2, 1]", is(json!(false))),
            ("{'a': 1, 'b': 2} = {'b': 2, 'a': 1}", is(json!(true))),
            ("'a' + 1", is(json!("a1"))),
            ("1 + 'a'", is(json!("1a"))),
            ("'a' + none", None),
            ("1 + 2", is(json!(3))),
            ("0.1 + 0.2", is(json!(0.3))),
            ("true + 1", None),
            ("'7' - 2", is(json!(5))),
            ("7 / 2", is(json!(3))),
            ("-7 / 2", is(json!(-3))),
            ("7 / 2.0", is(json!(3.5))),
            ("'7' / 0.5", is(json!(14))),
            ("7 / 0", None),
            ("2 + 3 * 4 - 1", is(json!(13))),
            ("(temperature - 32) * 5 / 9", is(json!(10))),
            ("color IN ['red', 'blue']", is(json!(true))),
            ("color NOT IN ('red', 'blue')", is(json!(false))),
            ("color IN nested", None),
            (
                "CASE color WHEN 'green' THEN 'go' WHEN 'red' THEN 'stop' ELSE '?' END",
                is(json!("stop")),
            ),
            ("CASE color WHEN 'green' THEN 'go' END", None),
            ("CASE missing WHEN 'green' THEN 'go' ELSE 'stop' END", None),
            ("cast(true as Int)", is(json!(1))),
            ("cast('12.9' AS Int)", is(json!(12))),
            ("cast('x' AS Int)", None),
            ("cast(0 AS Boolean)", is(json!(false))),
            ("cast('FALSE' AS Bool)", is(json!(false))),
            ("cast('maybe' AS Bool)", None),
            ("cast(12 AS String)", is(json!("12"))),
            ("cast(list AS Text)", is(json!("[1,\"two\",{\"n\":3}]"))),
            ("cast(none AS String)", None),
            ("nested.red", is(json!(255))),
            ("nested.deeper.x", is(json!([1, 2]))),
            ("nested.none.deeper", None),
            ("NULL", is(Value::Null)),
            ("'it''s'", is(json!("it's"))),
            (
                "EXISTS (SELECT * FROM e WHERE n = 'light')",
                is(json!(true)),
            ),
            (
                "EXISTS (SELECT * FROM e WHERE n = 'dark')",
                is(json!(false)),
            ),
            (
                "(SELECT VALUE n FROM e)",
                is(json!(["temperature", "light", "acidity"])),
            ),
            (
                "(SELECT v FROM e WHERE n = 'temperature')",
                is(json!([{ "v": 22.5 }])),
            ),
            (
                "get((SELECT v FROM e WHERE n = 'temperature'), 0).v",
                is(json!(22.5)),
            ),
        ],
    );
}

#[test]
fn versions_differ_where_the_guide_says_so() {
    let first = SqlVersion::V2015_10_08;
    let second = SqlVersion::V2016_03_23;
    assert_eq!(value("ten", first).unwrap().to_string(), "10.0");
    assert_eq!(value("ten", second).unwrap().to_string(), "10");
    assert_eq!(value("sqrt(9)", first).unwrap().to_string(), "3.0");
    assert_eq!(
        value("cast(true AS Double)", first).unwrap().to_string(),
        "1.0"
    );
    let array = "SELECT VALUE list FROM 'a'";
    assert_eq!(run(array, PAYLOAD.as_bytes(), first).unwrap().unwrap(), b"");
    assert_eq!(
        run(array, PAYLOAD.as_bytes(), second).unwrap().unwrap(),
        br#"[1,"two",{"n":3}]"#
    );
}

#[test]
fn clauses_give_what_the_guide_says() {
    let payload = br#"{"color":"red", "temperature":50}"#;
    for (sql, expected) in [
        (
            "SELECT * FROM 'a/b'",
            Some(r#"{"color":"red","temperature":50}"#),
        ),
        ("SELECT color FROM 'a/b'", Some(r#"{"color":"red"}"#)),
        (
            "SELECT color as my_color, temperature as fahrenheit FROM 'a/b'",
            Some(r#"{"my_color":"red","fahrenheit":50}"#),
        ),
        (
            "SELECT *, 15 as speed FROM 'a/b'",
            Some(r#"{"color":"red","temperature":50,"speed":15}"#),
        ),
        ("SELECT VALUE color FROM 'a/b'", Some(r#""red""#)),
        ("SELECT VALUE missing FROM 'a/b'", Some("")),
        ("SELECT missing FROM 'a/b'", Some("{}")),
        (
            "SELECT color AS a.b, temperature AS a.c FROM 'a/b'",
            Some(r#"{"a":{"b":"red","c":50}}"#),
        ),
        (
            "SELECT color AS a, temperature AS a.c FROM 'a/b'",
            Some(r#"{"a":{"c":50}}"#),
        ),
        (
            "SELECT timestamp(), topic(3) FROM 'a/b'",
            Some(r#"{"timestamp":1481825251155,"topic":"thingOne"}"#),
        ),
        ("SELECT * FROM 'a/b' WHERE temperature > 50", None),
        ("SELECT * FROM 'a/b' WHERE missing = 1", None),
        (
            "SELECT color FROM 'a/b' WHERE temperature >= 50 AND color <> 'blue'",
            Some(r#"{"color":"red"}"#),
        ),
        (
            "SET @c = (temperature - 32) * 5 / 9, @d = @c + 1 SELECT @c AS c, @d FROM 'a'",
            Some(r#"{"c":10,"d":11}"#),
        ),
    ] {
        let output = run(sql, payload, SqlVersion::V2016_03_23).unwrap();
        let output = output.map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(output.as_deref(), expected, "{sql}");
    }
}

#[test]
fn a_payload_that_is_no_json_goes_through_where_nothing_is_named_in_it() {
    let binary = b"\xff\x00not json";
    let version = SqlVersion::V2016_03_23;
    for (sql, expected) in [
        ("SELECT * FROM 'a'", Some(binary.as_slice())),
        (
            "SELECT * FROM 'a' WHERE timestamp() % 5 = 0",
            Some(binary.as_slice()),
        ),
        ("SELECT * FROM 'a' WHERE timestamp() % 5 = 1", None),
        (
            "SELECT encode(*, 'base64') AS data, timestamp() AS ts FROM 'a'",
            Some(br#"{"data":"/wBub3QganNvbg==","ts":1481825251155}"#.as_slice()),
        ),
        (
            "SELECT topic(1) AS t FROM 'a'",
            Some(br#"{"t":"things"}"#.as_slice()),
        ),
    ] {
        let output = run(sql, binary, version).unwrap();
        assert_eq!(output.as_deref(), expected, "{sql}");
    }
    for (sql, named) in [
        (
            "SELECT * FROM 'a' WHERE device_type = 'thermostat'",
            "device_type",
        ),
        ("SELECT *, timestamp() AS timestamp FROM 'a'", "*"),
        ("SELECT color FROM 'a'", "color"),
    ] {
        let error = run(sql, binary, version).unwrap_err();
        assert_eq!(error, EvaluationError::NotJson(named.to_owned()), "{sql}");
    }
    assert_eq!(
        run("SELECT * FROM 'a'", b"", version).unwrap().unwrap(),
        b""
    );
    assert_eq!(
        run("SELECT *, 1 AS one, x FROM 'a'", b"", version)
            .unwrap()
            .unwrap(),
        br#"{"one":1}"#
    );
    assert_eq!(
        run("SELECT * FROM 'a'", b"[1, 2]", version)
            .unwrap()
            .unwrap(),
        b"[1, 2]"
    );
}

#[test]
fn an_external_function_without_an_answer_fails_the_rule() {
    let sql = "SELECT aws_lambda('arn', *) AS a FROM 'a'";
    let error = run(sql, b"{}", SqlVersion::V2016_03_23).unwrap_err();
    assert_eq!(error.to_string(), "aws_lambda(): aws_lambda has no answer");
}

#[test]
fn substitutions_see_the_original_payload_and_the_variables() {
    let rule = RuleSql::parse(
        "SET @half = temperature / 2 SELECT color AS renamed FROM 'a'",
        SqlVersion::V2016_03_23,
    )
    .unwrap();
    let message = Message {
        topic: "a/b",
        payload: br#"{"color":"red","temperature":50}"#,
        ..Message::default()
    };
    let evaluation = rule.on(&message, &World).unwrap();
    for (template, expected) in [
        ("${topic()}/republish", "a/b/republish"),
        ("${color}-${@half}-${renamed}.", "red-25-."),
        (
            "${replace(topic(), '/', '-') + '-' + timestamp()}",
            "a-b-1481825251155",
        ),
        ("$$aws/things/x", "$$aws/things/x"),
    ] {
        let template = rule.substitution(template).unwrap();
        assert_eq!(evaluation.fill(&template).unwrap(), expected);
    }
}

#[test]
fn numbers_beyond_measure_end_nothing() {
    expect(
        SqlVersion::V2016_03_23,
        &[
            ("'1E99999999999' - 1", None),
            ("'1E999' * '1E999'", None),
            ("power(10, 400)", None),
            (
                "9223372036854775807 + 1",
                Some(json!(9_223_372_036_854_775_808_u64)),
            ),
            ("substring('abc', '1E999')", Some(json!(""))),
            ("regexp_matches('a', '(((a{100}){100}){100}){100}')", None),
            ("replace(rpad('', 1000), ' ', rpad('', 1000))", None),
        ],
    );
}
