//! IAM as a client of the query protocol sees it.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};

use super::super::serve::{BODY_LIMIT, serve};
use super::Core;

const TRUST: &str = r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"iot.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const REGISTRATION: &str = "arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration";

impl Core {
    /// Calls an operation of IAM; status and body.
    async fn iam(&self, action: &str, members: &[(&str, &str)]) -> (u16, String) {
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        let members = members
            .iter()
            .map(|(name, value)| format!("&{name}={}", encode(value)));
        let body = format!(
            "Action={action}&Version=2010-05-08{}",
            members.collect::<String>()
        );
        let request = Request::post("/")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(
                AUTHORIZATION,
                "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=00",
            );
        let request = request.body(Body::from(body)).unwrap();
        let response = serve(State(Arc::clone(&self.server)), request).await;
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), BODY_LIMIT).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

#[track_caller]
fn refused((status, body): (u16, String), expected: u16, code: &str) {
    assert_eq!(status, expected, "{body}");
    assert!(body.contains(&format!("<Code>{code}</Code>")), "{body}");
}

#[tokio::test]
async fn a_role_lives_until_its_policies_are_gone() {
    let core = Core::new();
    let name = ("RoleName", "fleet");
    let policy = ("PolicyArn", REGISTRATION);
    let trust = ("AssumeRolePolicyDocument", TRUST);
    let own = ("PolicyName", "own");
    let (status, made) = core.iam("CreateRole", &[name, trust]).await;
    assert_eq!(status, 200, "{made}");
    assert!(
        made.contains("<Arn>arn:aws:iam::123456789012:role/fleet</Arn>"),
        "{made}"
    );
    // The document comes back percent-encoded, as clients expect.
    assert!(
        made.contains("%22Service%22%3A%22iot.amazonaws.com%22"),
        "{made}"
    );
    refused(
        core.iam("CreateRole", &[name, trust]).await,
        409,
        "EntityAlreadyExists",
    );
    for _ in 0..2 {
        let (status, body) = core.iam("AttachRolePolicy", &[name, policy]).await;
        assert_eq!(status, 200, "{body}");
    }
    let (_, attached) = core.iam("ListAttachedRolePolicies", &[name]).await;
    assert_eq!(attached.matches(REGISTRATION).count(), 1, "{attached}");
    let document = r#"{"Statement":{"Effect":"Allow","Action":"logs:*","Resource":"*"}}"#;
    core.iam("PutRolePolicy", &[name, own, ("PolicyDocument", document)])
        .await;
    refused(core.iam("DeleteRole", &[name]).await, 409, "DeleteConflict");
    core.iam("DetachRolePolicy", &[name, policy]).await;
    refused(core.iam("DeleteRole", &[name]).await, 409, "DeleteConflict");
    core.iam("DeleteRolePolicy", &[name, own]).await;
    assert_eq!(core.iam("DeleteRole", &[name]).await.0, 200);
    refused(core.iam("GetRole", &[name]).await, 404, "NoSuchEntity");
    assert!(core.settings().account.snapshot().roles.is_empty());
}

#[tokio::test]
async fn what_is_no_role_is_refused_in_the_words_of_iam() {
    let core = Core::new();
    let create = async |name: &str, trust: &str| {
        let members = [("RoleName", name), ("AssumeRolePolicyDocument", trust)];
        core.iam("CreateRole", &members).await
    };
    let invalid = "ValidationError";
    refused(create("", TRUST).await, 400, invalid);
    refused(create("a b", TRUST).await, 400, invalid);
    refused(create(&"a".repeat(65), TRUST).await, 400, invalid);
    let malformed = "MalformedPolicyDocument";
    refused(create("a", "{").await, 400, malformed);
    refused(create("a", r#"{"Statement":[]}"#).await, 400, malformed);
    let no_principal = r#"{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole"}]}"#;
    refused(create("a", no_principal).await, 400, malformed);
    let missing = "NoSuchEntity";
    let gone = [("RoleName", "gone")];
    for action in ["DeleteRole", "ListRolePolicies", "ListRoleTags"] {
        refused(core.iam(action, &gone).await, 404, missing);
    }
    create("there", TRUST).await;
    let foreign = [
        ("RoleName", "there"),
        ("PolicyArn", "arn:aws:iam::123456789012:policy/own"),
    ];
    refused(core.iam("AttachRolePolicy", &foreign).await, 404, missing);
    refused(
        core.iam("CreateUser", &[]).await,
        501,
        "NotImplementedException",
    );
}

#[tokio::test]
async fn lists_come_in_pages() {
    let core = Core::new();
    for name in ["a", "b", "c"] {
        let members = [("RoleName", name), ("AssumeRolePolicyDocument", TRUST)];
        core.iam("CreateRole", &members).await;
    }
    let (_, first) = core.iam("ListRoles", &[("MaxItems", "2")]).await;
    assert!(first.contains("<Marker>b</Marker>"), "{first}");
    assert!(first.contains("<IsTruncated>true</IsTruncated>"), "{first}");
    let (_, rest) = core
        .iam("ListRoles", &[("MaxItems", "2"), ("Marker", "b")])
        .await;
    assert_eq!(rest.matches("<RoleName>").count(), 1, "{rest}");
    assert!(rest.contains("<IsTruncated>false</IsTruncated>"), "{rest}");
    refused(
        core.iam("ListRoles", &[("MaxItems", "0")]).await,
        400,
        "ValidationError",
    );
}
