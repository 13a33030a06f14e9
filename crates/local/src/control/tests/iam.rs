//! IAM as a client of the query protocol sees it. Every answer is judged by the model.

use super::{Core, Got};

const TRUST: &str = r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"iot.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const REGISTRATION: &str = "arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration";

impl Core {
    /// Calls an operation of IAM.
    async fn iam(&self, action: &str, members: &[(&str, &str)]) -> Got {
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
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.raw("POST", "/", &headers, body.into_bytes()).await
    }
}

#[track_caller]
fn refused(got: Got, expected: u16, code: &str) {
    assert_eq!(
        (got.status, got.error.as_str()),
        (expected, code),
        "{got:?}"
    );
}

#[tokio::test]
async fn a_role_lives_until_its_policies_are_gone() {
    let core = Core::new();
    let name = ("RoleName", "fleet");
    let policy = ("PolicyArn", REGISTRATION);
    let trust = ("AssumeRolePolicyDocument", TRUST);
    let own = ("PolicyName", "own");
    let made = core.iam("CreateRole", &[name, trust]).await;
    assert_eq!(made.status, 200, "{made:?}");
    let role = &made.body["Role"];
    assert_eq!(role["Arn"], "arn:aws:iam::123456789012:role/fleet");
    // The document comes back percent-encoded, as clients expect.
    let document = role["AssumeRolePolicyDocument"].as_str().unwrap();
    assert!(document.contains("%22Service%22%3A%22iot.amazonaws.com%22"));
    refused(
        core.iam("CreateRole", &[name, trust]).await,
        409,
        "EntityAlreadyExists",
    );
    for _ in 0..2 {
        assert_eq!(
            core.iam("AttachRolePolicy", &[name, policy]).await.status,
            200
        );
    }
    let attached = async |prefix: &str| {
        let members = [name, ("PathPrefix", prefix)];
        let got = core.iam("ListAttachedRolePolicies", &members).await;
        got.body["AttachedPolicies"].as_array().unwrap().clone()
    };
    assert_eq!(attached("/").await.len(), 1);
    assert_eq!(
        attached("/service-role/").await[0]["PolicyArn"],
        REGISTRATION
    );
    assert!(attached("/other/").await.is_empty());
    let document = r#"{"Statement":{"Effect":"Allow","Action":"logs:*","Resource":"*"}}"#;
    core.iam("PutRolePolicy", &[name, own, ("PolicyDocument", document)])
        .await;
    refused(core.iam("DeleteRole", &[name]).await, 409, "DeleteConflict");
    core.iam("DetachRolePolicy", &[name, policy]).await;
    refused(core.iam("DeleteRole", &[name]).await, 409, "DeleteConflict");
    core.iam("DeleteRolePolicy", &[name, own]).await;
    assert_eq!(core.iam("DeleteRole", &[name]).await.status, 200);
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
}

#[tokio::test]
async fn tags_come_back_as_they_were_and_their_keys_differ_in_more_than_case() {
    let core = Core::new();
    let name = ("RoleName", "fleet");
    let members = [
        name,
        ("AssumeRolePolicyDocument", TRUST),
        ("Tags.member.1.Key", "keep"),
        ("Tags.member.1.Value", ""),
        ("Tags.member.2.Key", "Größe"),
        ("Tags.member.2.Value", "a=b/c @ d"),
    ];
    let made = core.iam("CreateRole", &members).await;
    let expected = serde_json::json!([
        { "Key": "Größe", "Value": "a=b/c @ d" },
        { "Key": "keep", "Value": "" },
    ]);
    assert_eq!(made.body["Role"]["Tags"], expected, "{made:?}");
    let twice = [
        name,
        ("Tags.member.1.Key", "site"),
        ("Tags.member.1.Value", "a"),
        ("Tags.member.2.Key", "Site"),
        ("Tags.member.2.Value", "b"),
    ];
    refused(core.iam("TagRole", &twice).await, 400, "InvalidInput");
    let untag = [name, ("TagKeys.member.1", "keep")];
    assert_eq!(core.iam("UntagRole", &untag).await.status, 200);
    let left = core.iam("ListRoleTags", &[name]).await;
    assert_eq!(left.body["Tags"].as_array().unwrap().len(), 1, "{left:?}");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let core = Core::new();
    for name in ["a", "b", "c"] {
        let members = [("RoleName", name), ("AssumeRolePolicyDocument", TRUST)];
        core.iam("CreateRole", &members).await;
    }
    let first = core.iam("ListRoles", &[("MaxItems", "2")]).await.body;
    assert_eq!(first["Marker"], "b");
    assert_eq!(first["IsTruncated"], true);
    let next = [("MaxItems", "2"), ("Marker", "b")];
    let rest = core.iam("ListRoles", &next).await.body;
    assert_eq!(rest["Roles"].as_array().unwrap().len(), 1, "{rest}");
    assert_eq!(rest["IsTruncated"], false);
}
