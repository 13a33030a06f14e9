//! Faults on order and quotas: what stands between a request and its meaning.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::super::serve::serve;
use super::super::{Fault, FaultKind};
use super::Core;

impl Core {
    /// Calls and answers whether the connection would be cut instead of answered.
    async fn is_cut(&self, method: &str, target: &str) -> bool {
        let request = Request::builder().method(method).uri(target);
        let request = request.body(Body::empty()).unwrap();
        let response = serve(State(self.server.clone()), request).await;
        response.into_body().collect().await.is_err()
    }

    fn has_thing(&self, name: &str) -> bool {
        let state = self.settings().account.snapshot();
        state.things.contains_key(name)
    }
}

#[tokio::test]
async fn a_call_is_throttled_or_fails_on_order_and_nothing_is_done() {
    let core = Core::new();
    let faults = &core.settings().faults;
    faults.order(Fault::next("CreateThing", FaultKind::Throttle));
    faults.order(Fault::next("CreateThing", FaultKind::Fail));
    core.refused("POST", "/things/a", Value::Null, 400, "ThrottlingException")
        .await;
    core.refused(
        "POST",
        "/things/a",
        Value::Null,
        500,
        "InternalFailureException",
    )
    .await;
    assert!(!core.has_thing("a"));
    core.ok("POST", "/things/a", Value::Null).await;
}

#[tokio::test]
async fn a_connection_is_cut_before_or_after_the_core_acted() {
    let core = Core::new();
    let faults = &core.settings().faults;
    faults.order(Fault::next("*", FaultKind::CutBefore));
    faults.order(Fault::next("*", FaultKind::CutAfter));
    assert!(core.is_cut("POST", "/things/a").await);
    assert!(!core.has_thing("a"));
    assert!(core.is_cut("POST", "/things/a").await);
    assert!(core.has_thing("a"));
    assert!(!core.is_cut("POST", "/things/b").await);
}

#[tokio::test]
async fn an_answer_is_delayed() {
    let core = Core::new();
    core.settings().faults.order(Fault {
        milliseconds: 50,
        ..Fault::next("*", FaultKind::Delay)
    });
    let started = Instant::now();
    core.ok("POST", "/things/a", Value::Null).await;
    assert!(started.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn faults_are_ordered_listed_and_cancelled_over_http_when_allowed() {
    let core = Core::new();
    let route = "/_local/faults";
    let got = core.call("POST", route, json!({ "fault": "fail" })).await;
    assert_eq!(got.status, 501);
    assert!(
        got.body["message"]
            .as_str()
            .unwrap()
            .contains("--allow-faults")
    );
    let core = Core::adjusted(|mut settings| {
        settings.allow_faults = true;
        settings
    });
    let fault = json!({ "operation": "AttachPolicy", "fault": "cut-after", "skip": 1, "count": 2 });
    let waiting = core.ok("POST", route, fault).await;
    assert_eq!(waiting[0]["operation"], "AttachPolicy");
    core.ok("POST", route, json!({ "fault": "throttle" })).await;
    let waiting = core.ok("GET", route, Value::Null).await;
    assert_eq!(waiting.as_array().unwrap().len(), 2);
    assert_eq!(waiting[1]["operation"], "*");
    for wrong in [
        json!({}),
        json!({ "fault": "explode" }),
        json!({ "fault": "fail", "times": 2 }),
    ] {
        let got = core.call("POST", route, wrong).await;
        assert_eq!(got.status, 400, "{got:?}");
    }
    assert_eq!(core.ok("DELETE", route, Value::Null).await, json!([]));
    core.ok("POST", "/things/a", Value::Null).await;
}

#[tokio::test]
async fn a_fault_meets_sts_in_its_own_protocol() {
    let core = Core::new();
    let faults = &core.settings().faults;
    faults.order(Fault::next("GetCallerIdentity", FaultKind::Throttle));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let ask = || b"Action=GetCallerIdentity&Version=2011-06-15".to_vec();
    let got = core.raw("POST", "/", &form, ask()).await;
    assert_eq!(got.status, 400);
    let got = core.raw("POST", "/", &form, ask()).await;
    assert_eq!(got.status, 200);
}

#[tokio::test]
async fn calls_beyond_the_quota_of_their_operation_are_throttled_with_http_400() {
    let core = Core::adjusted(|mut settings| {
        settings.enforce_quotas = true;
        settings
    });
    for _ in 0..10 {
        core.ok("GET", "/things", Value::Null).await;
    }
    core.refused("GET", "/things", Value::Null, 400, "ThrottlingException")
        .await;
    core.ok("GET", "/policies", Value::Null).await;
    core.hand.advance(time::Duration::milliseconds(100));
    core.ok("GET", "/things", Value::Null).await;
    core.refused("GET", "/things", Value::Null, 400, "ThrottlingException")
        .await;
}
