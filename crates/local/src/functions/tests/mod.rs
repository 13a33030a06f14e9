//! Programs that answer as hooks do, and all the ways they do not. They are shell scripts with curl, so that
//! nothing under test judges itself.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{CallError, Caller, FunctionSettings, Functions, GivenFunction, Source};
use crate::account::{Account, AccountSettings, Clock};
use crate::diary::Diary;
use crate::storage::Storage;

/// Where a script finds its work, and leaves its answer.
const LOOP: &str = r#"#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while :; do
  headers=$(mktemp)
  payload=$(curl -sS --noproxy '*' -D "$headers" "$api/invocation/next") || exit 3
  id=$(tr -d '\r' <"$headers" | sed -n 's/^lambda-runtime-aws-request-id: //p')
  rm -f "$headers"
  answer() { curl -sS --noproxy '*' -o /dev/null -d "$1" "$api/invocation/$id/response"; }
  failure() { curl -sS --noproxy '*' -o /dev/null -d "$1" "$api/invocation/$id/error"; }
"#;

/// A program of this body: it knows `$payload`, `answer TEXT` and `failure TEXT`, and is run for each call.
pub(crate) fn program(folder: &Path, name: &str, body: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, format!("{LOOP}{body}\ndone\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A function given by hand.
pub(crate) fn given(name: &str, program: PathBuf) -> GivenFunction {
    GivenFunction {
        name: name.to_owned(),
        source: Source::Program(program),
    }
}

const CALLER: Caller<'_> = Caller {
    service: "iot.amazonaws.com",
    source_arn: "arn:aws:iot:eu-west-1:123456789012:provisioningtemplate/Fleet",
    source_account: "123456789012",
};

fn functions(given: Vec<GivenFunction>) -> (Functions, Diary) {
    let account = Account::open(AccountSettings {
        account_id: "123456789012".to_owned(),
        region: "eu-west-1".to_owned(),
        endpoint: "localhost".to_owned(),
        clock: Clock::system(),
        storage: Storage::memory(),
    });
    let diary = Diary::new(1000);
    let functions = Functions::new(FunctionSettings {
        account: account.unwrap(),
        diary: diary.clone(),
        given,
        environment: vec![("GREETING", "hello".to_owned())],
    });
    (functions, diary)
}

async fn call(functions: &Functions, name: &str, payload: &str) -> Result<String, CallError> {
    let arn = format!("arn:aws:lambda:eu-west-1:123456789012:function:{name}");
    let payload = payload.to_owned().into();
    let answer = functions
        .call(&arn, payload, &CALLER, Duration::from_secs(3))
        .await?;
    Ok(String::from_utf8(answer.to_vec()).unwrap())
}

#[tokio::test]
async fn a_program_answers_and_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let body = r#"answer "{\"pid\":$$,\"name\":\"$AWS_LAMBDA_FUNCTION_NAME\",\"greeting\":\"$GREETING\",\"told\":$payload}""#;
    let hook = program(folder.path(), "hook", body);
    let (functions, _) = functions(vec![given("hook", hook)]);
    let first = call(&functions, "hook", r#"{"n":1}"#).await.unwrap();
    let read: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(read["told"]["n"], 1);
    assert_eq!(read["name"], "hook");
    assert_eq!(read["greeting"], "hello");
    let second = call(&functions, "hook:$LATEST", r#"{"n":1}"#)
        .await
        .unwrap();
    assert_eq!(first, second, "the same process");
    functions.stop().await;
    let pid = i32::try_from(read["pid"].as_i64().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    assert!(
        rustix::process::test_kill_process(pid).is_err(),
        "it runs on"
    );
}

#[tokio::test]
async fn what_crashes_hangs_or_fails_is_said_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let body = r#"
  echo "about to: $payload"
  case $payload in
    '"crash"') exit 7 ;;
    '"hang"') sleep 60 ;;
    '"fail"') failure '{"errorType":"Oops","errorMessage":"no list"}' ;;
    *) answer '"fine"' ;;
  esac"#;
    let hook = program(folder.path(), "hook", body);
    let (functions, diary) = functions(vec![given("hook", hook)]);
    for (payload, said) in [
        (r#""crash""#, "exit status: 7"),
        (r#""hang""#, "within 3 s"),
        (r#""fail""#, "no list"),
    ] {
        let error = call(&functions, "hook", payload).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(call(&functions, "hook", "1").await.unwrap(), r#""fine""#);
    }
    let log = |entry: &crate::diary::Entry| entry.code == "FUNCTION_LOG";
    let about = r#"function hook: about to: "crash""#;
    let told = || {
        let mut entries = diary.recent().into_iter().filter(log);
        entries.any(|entry| entry.sentence == about)
    };
    for _ in 0..1500 {
        if told() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(told(), "{:?}", diary.recent());
    functions.stop().await;
}

#[tokio::test]
async fn a_process_that_died_while_idle_is_not_noticed_by_the_next_call() {
    let folder = tempfile::tempdir().unwrap();
    let hook = program(folder.path(), "hook", "answer $$; exit 0");
    let (functions, _) = functions(vec![given("hook", hook)]);
    let mut answers = std::collections::BTreeSet::new();
    for _ in 0..5 {
        answers.insert(call(&functions, "hook", "1").await.unwrap());
    }
    assert_eq!(answers.len(), 5, "each from a process of its own");
    functions.stop().await;
}

#[tokio::test]
async fn many_calls_at_once_share_a_few_processes() {
    let folder = tempfile::tempdir().unwrap();
    let hook = program(folder.path(), "hook", "sleep 0.05; answer $$");
    let (functions, _) = functions(vec![given("hook", hook)]);
    let calls = (0..12).map(|_| call(&functions, "hook", "1"));
    let answers = futures::future::join_all(calls).await;
    let answers: std::collections::BTreeSet<_> =
        answers.into_iter().map(|answer| answer.unwrap()).collect();
    assert!(
        (1..=super::pool::MOST).contains(&answers.len()),
        "{answers:?}"
    );
    functions.stop().await;
    assert!(matches!(
        call(&functions, "hook", "1").await,
        Ok(_) | Err(CallError::Stopping)
    ));
    functions.stop().await;
}

#[tokio::test]
async fn what_is_not_there_or_no_program_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "no program").unwrap();
    let (functions, _) = functions(vec![given("text", text)]);
    let error = call(&functions, "text", "1").await.unwrap_err();
    assert!(error.to_string().contains("cannot be started"), "{error}");
    let error = call(&functions, "other", "1").await.unwrap_err();
    assert!(
        error.to_string().contains("--function other=PATH"),
        "{error}"
    );
    for arn in ["", "hook", "arn:aws:iot:eu-west-1:1:function:hook"] {
        let time = Duration::from_secs(1);
        let error = functions.call(arn, "1".into(), &CALLER, time).await;
        assert!(matches!(error, Err(CallError::NoFunctionArn)), "{arn}");
    }
}

#[tokio::test]
async fn an_endpoint_is_asked_by_post() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new()
        .route(
            "/ask",
            axum::routing::post(|body: bytes::Bytes| async { body }),
        )
        .route(
            "/hang",
            axum::routing::post(|| tokio::time::sleep(Duration::from_secs(60))),
        );
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let endpoint = |name: &str, path: &str| {
        format!("{name}=http://{address}{path}")
            .parse::<GivenFunction>()
            .unwrap()
    };
    let given = vec![
        endpoint("ask", "/ask"),
        endpoint("lost", "/nowhere"),
        endpoint("hang", "/hang"),
    ];
    let (functions, _) = functions(given);
    assert_eq!(call(&functions, "ask", "[1]").await.unwrap(), "[1]");
    let error = call(&functions, "lost", "1").await.unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
    let error = call(&functions, "hang", "1").await.unwrap_err();
    assert!(matches!(error, CallError::TooSlow(_)), "{error}");
    server.abort();
    let _ = server.await;
    let error = call(&functions, "ask", "1").await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable(_)), "{error}");
}
