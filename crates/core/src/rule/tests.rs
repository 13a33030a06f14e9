//! Statements AWS IoT takes and refuses, and where it says they are wrong.

use super::*;

fn parse(text: &str) -> Result<RuleSql, SqlError> {
    RuleSql::parse(text, SqlVersion::V2016_03_23)
}

/// The statements of the guide's pages on SQL.
const DOCUMENTED: &[&str] = &[
    "SELECT * FROM 'loadtest'",
    "SELECT color AS rgb FROM 'topic/subtopic' WHERE temperature > 50",
    "SELECT color as my_color, temperature as fahrenheit FROM 'a/b'",
    "SELECT *, 15 as speed FROM 'a/b'",
    "SELECT VALUE color FROM 'a/b'",
    "SELECT color.red as red_value FROM 'a/b'",
    "SELECT (temperature - 32) * 5 / 9 AS celsius, upper(color) as my_color FROM 'a/b'",
    "SELECT encode(*, 'base64') AS data, timestamp() AS ts FROM 'a/b'",
    "SELECT * FROM 'a/b' WHERE timestamp() % 12 = 0",
    "SELECT foo.bar AS bar.baz FROM 'a/b'",
    "SELECT temp, md5(deviceid) AS hashed_id FROM 'topic/#'",
    "SELECT {'latitude': get(lat_long, 0),'longitude':get(lat_long, 1)} as lat_long FROM 'topic/subtopic'",
    "SELECT [lat,long] as lat_long FROM 'topic/subtopic'",
    "SELECT CASE color WHEN 'green' THEN 'go' WHEN 'yellow' THEN 'caution' ELSE 'stop' END as do FROM 'a/b'",
    "SELECT (SELECT VALUE n FROM e) as sensors FROM 'my/topic'",
    "SELECT (SELECT v FROM e WHERE n = 'temperature') as temperature FROM 'my/topic'",
    "SELECT get((SELECT v FROM e WHERE n = 'temperature'), 0).v as temperature FROM 'topic'",
    "select value transform('enrichArray', (select a, b from data2), (select value c from data2)) from 'A/B'",
    "SELECT decode(encoded_temp,\"base64\").temperature AS temp from 'topic/subtopic'",
    "SELECT aws_lambda(\"arn:aws:lambda:us-east-1:account_id:function:lambda_function\", {\"payload\":attribute1}) as output FROM 'topic-filter'",
    "SELECT * from 'topic/subtopic' WHERE get_thing_shadow(\"MyThing\",\"arn:aws:iam::123456789012:role/R\") .state.reported.alarm = 'ON'",
    "SELECT cast(true as Int) AS i FROM 'a'",
    "SET @temp_celsius = (temp_fahrenheit - 32) * 5 / 9\nSELECT @temp_celsius AS celsius, humidity FROM 'device/data'",
    "SELECT color AS my_color FROM 'a/b' WHERE temperature > 50 AND color <> 'red'",
    "SELECT * FROM '$aws/events/presence/connected/+'",
    "SELECT *",
    "SELECT * WHERE NOT (a = 1 OR b IN ['x', 'y'])",
    "SELECT value FROM 'a' WHERE EXISTS (SELECT * FROM e WHERE n = 1)",
    "SELECT -1 AS minus, - a AS turned, a NOT IN (1, 2) AS out FROM 'a'",
];

#[test]
fn what_the_guide_writes_is_taken() {
    for statement in DOCUMENTED {
        if let Err(error) = parse(statement) {
            panic!("{statement}: {error}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (statement, expected) in [
        ("", "line 1, column 1: expected SELECT, found the end"),
        (
            "SELEC * FROM 'a'",
            "line 1, column 1: expected SELECT, found `SELEC`; did you mean `SELECT`?",
        ),
        (
            "SELECT * FORM 'a'",
            "line 1, column 10: expected `,`, FROM or WHERE, found `FORM`",
        ),
        (
            "SELECT FROM 'a'",
            "line 1, column 8: expected an expression, found FROM",
        ),
        (
            "SELECT *\nFROM loadtest",
            "line 2, column 6: FROM wants a topic filter in single quotes, not `loadtest`",
        ),
        (
            "SELECT * FROM \"a\"",
            "line 1, column 15: FROM wants a topic filter in single quotes, not \"a\"",
        ),
        (
            "SELECT * FROM 'a",
            "line 1, column 15: the closing ' is missing",
        ),
        (
            "SELECT * FROM ''",
            "line 1, column 15: the topic filter is empty",
        ),
        (
            "SELECT * FROM 'a/#/b'",
            "line 1, column 15: `#` is the whole of the last level, or no part of a filter",
        ),
        (
            "SELECT * FROM 'a+'",
            "line 1, column 15: `+` is the whole of a level, or no part of a filter",
        ),
        (
            "SELECT * FROM 'a' WHERE",
            "line 1, column 24: expected an expression, found the end",
        ),
        (
            "SELECT * FROM 'a' WHERE x =",
            "line 1, column 28: expected an expression, found the end",
        ),
        (
            "SELECT * FROM 'a' WHERE x LIKE 'b'",
            "line 1, column 27: rule SQL has no LIKE; write startswith(), endswith() or regexp_matches()",
        ),
        (
            "SELECT a FROM 'a' LIMIT 1",
            "line 1, column 19: expected the end of the statement, or WHERE, found `LIMIT`",
        ),
        (
            "SELECT uppercase(a) FROM 'a'",
            "line 1, column 8: there is no function `uppercase`",
        ),
        (
            "SELECT uper(a) FROM 'a'",
            "line 1, column 8: there is no function `uper`; did you mean `upper`?",
        ),
        (
            "SELECT cast(a AS Flot) AS a FROM 'a'",
            "line 1, column 18: there is no type `Flot` to cast to",
        ),
        (
            "SELECT a AS 'b' FROM 'a'",
            "line 1, column 13: AS wants a name of letters, digits and underscores, not 'b'",
        ),
        (
            "SELECT a[0] FROM 'a'",
            "line 1, column 9: rule SQL has no index; write get(array, 0)",
        ),
        ("SELECT @x FROM 'a'", "line 1, column 8: @x has no value"),
        (
            "SELECT (a FROM 'a'",
            "line 1, column 11: expected `)`, found `FROM`",
        ),
        (
            "SELECT a FROM 'a' -- why",
            "line 1, column 19: rule SQL has no comments; a minus before a negative number wants a space",
        ),
        (
            "SELECT é; FROM 'a'",
            "line 1, column 9: expected `,`, FROM or WHERE, found `;`",
        ),
        (
            "SELECT CASE WHEN a THEN 1 END AS b FROM 'a'",
            "line 1, column 13: CASE wants a value to compare: CASE value WHEN …; for a condition write CASE (condition) WHEN true THEN …",
        ),
    ] {
        let error = parse(statement).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{statement}");
    }
    // What is long is not repeated as a whole.
    let long = "x".repeat(100_000);
    for statement in [
        long.clone(),
        format!("SELECT {long}() FROM 'a'"),
        format!("SELECT * FROM \"{long}\""),
        format!("SELECT @{long} FROM 'a'"),
        format!("SELECT cast(a AS {long}) FROM 'a'"),
        format!("SELECT * FROM '{long}#'"),
    ] {
        let told = parse(&statement).map(|_| ()).unwrap_err().to_string();
        assert!(told.len() < 200, "{}", &told[..200]);
    }
}

#[test]
fn the_first_version_lacks_what_came_later() {
    for statement in [
        "SELECT [a] AS b FROM 'a'",
        "SELECT {'a': 1} AS b FROM 'a'",
        "SELECT (SELECT a FROM b) AS c FROM 'a'",
        "SELECT encode(*, 'base64') AS c FROM 'a'",
        "SELECT cast(a AS Boolean) AS c FROM 'a'",
        "SET @a = 1 SELECT @a FROM 'a'",
    ] {
        assert!(parse(statement).is_ok(), "{statement}");
        let error = RuleSql::parse(statement, SqlVersion::default())
            .map(|_| ())
            .unwrap_err();
        assert!(
            error
                .message
                .ends_with("wants SQL version 2016-03-23, and the rule says 2015-10-08"),
            "{error}"
        );
    }
}

#[test]
fn a_function_with_too_few_arguments_is_taken_and_warned_of() {
    let rule = parse("SELECT upper() AS a, substring(a) AS b FROM 'a'").unwrap();
    let warnings: Vec<String> = rule.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "line 1, column 8: upper() takes 1 argument and has 0; its value is Undefined",
            "line 1, column 22: substring() takes 2 or 3 arguments and has 1; its value is Undefined",
        ]
    );
}

#[test]
fn a_hostile_statement_is_an_error_and_no_crash() {
    let deep = format!("SELECT {}1{} AS a", "(".repeat(30_000), ")".repeat(30_000));
    let wide = format!("SELECT 1{} AS a", " + 1".repeat(30_000));
    let turned = format!("SELECT {}1 AS a", "- ".repeat(30_000));
    let no = format!("SELECT {}a AS a", "NOT ".repeat(30_000));
    let members = format!("SELECT a{} AS a", ".a".repeat(30_000));
    for statement in [deep, wide, turned, no, members] {
        assert!(parse(&statement).is_err());
    }
}

#[test]
fn a_substitution_is_checked_with_the_rule() {
    let rule = parse("SET @a = 1 SELECT * FROM 'a'").unwrap();
    assert!(
        !rule
            .substitution("x/${topic(2)}/${@a}")
            .unwrap()
            .is_constant()
    );
    assert!(rule.substitution("plain").unwrap().is_constant());
    assert!(rule.substitution("${get({'a': '}'}, 'a')}").is_ok());
    for (template, expected) in [
        (
            "a/${topic(2)",
            "line 1, column 3: the closing } of this ${ is missing",
        ),
        (
            "a/${topik()}",
            "line 1, column 5: there is no function `topik`; did you mean `topic`?",
        ),
        (
            "${}",
            "line 1, column 3: expected an expression, found the end",
        ),
        ("${@b}", "line 1, column 3: @b has no value"),
    ] {
        let error = rule.substitution(template).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{template}");
    }
}
