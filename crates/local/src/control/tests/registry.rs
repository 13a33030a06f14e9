//! The registry's finer points: events, tags, filters, deprecation, templates executed at once.

use serde_json::{Value, json};
use time::Duration;

use super::Core;
use crate::account::RegistryEvent;

/// The registry events of what `act` does, as topic and operation.
async fn events_of(core: &Core, act: impl AsyncFnOnce()) -> Vec<(String, Value)> {
    let mut events = core.settings().account.registry_events();
    act().await;
    let mut told = Vec::new();
    while let Ok(RegistryEvent { topic, payload }) = events.try_recv() {
        let topic = topic.strip_prefix("$aws/events/").unwrap().to_owned();
        told.push((topic, serde_json::from_str(&payload).unwrap()));
    }
    told
}

fn topics(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(topic, _)| topic.as_str()).collect()
}

async fn switch_on(core: &Core, kinds: &[&str]) {
    let switches: serde_json::Map<_, _> = kinds
        .iter()
        .map(|kind| ((*kind).to_owned(), json!({ "Enabled": true })))
        .collect();
    let body = json!({ "eventConfigurations": switches });
    core.ok("PATCH", "/event-configurations", body).await;
}

#[tokio::test]
async fn registry_events_are_silent_until_switched_on() {
    let core = Core::new();
    let told = events_of(&core, async || {
        core.ok("POST", "/things/a", Value::Null).await;
    })
    .await;
    assert!(told.is_empty(), "{told:?}");
    switch_on(&core, &["THING"]).await;
    let told = events_of(&core, async || {
        core.ok(
            "POST",
            "/things/b",
            json!({ "attributePayload": { "attributes": { "k": "v" } } }),
        )
        .await;
        core.ok(
            "POST",
            "/things/b",
            json!({ "attributePayload": { "attributes": { "k": "v" } } }),
        )
        .await;
        core.ok(
            "PATCH",
            "/things/b",
            json!({ "attributePayload": { "attributes": { "k": "w" } } }),
        )
        .await;
        core.refused(
            "PATCH",
            "/things/b",
            json!({ "expectedVersion": 7 }),
            409,
            "VersionConflictException",
        )
        .await;
        core.ok("DELETE", "/things/b", Value::Null).await;
    })
    .await;
    assert_eq!(
        topics(&told),
        ["thing/b/created", "thing/b/updated", "thing/b/deleted"]
    );
    let created = &told[0].1;
    assert_eq!(created["eventType"], "THING_EVENT");
    assert_eq!(created["operation"], "CREATED");
    assert_eq!(created["timestamp"], 1_767_225_600_000_i64);
    assert_eq!(created["accountId"], "123456789012");
    assert_eq!(created["thingName"], "b");
    assert_eq!(created["versionNumber"], 1);
    assert_eq!(created["thingTypeName"], Value::Null);
    assert_eq!(created["attributes"], json!({ "k": "v" }));
    assert_eq!(told[1].1["versionNumber"], 2);
    assert_ne!(told[0].1["eventId"], told[1].1["eventId"]);
}

#[tokio::test]
async fn types_groups_and_memberships_have_their_events() {
    let core = Core::new();
    switch_on(
        &core,
        &[
            "THING_TYPE",
            "THING_TYPE_ASSOCIATION",
            "THING_GROUP",
            "THING_GROUP_MEMBERSHIP",
            "THING_GROUP_HIERARCHY",
        ],
    )
    .await;
    let told = events_of(&core, async || {
        core.ok("POST", "/thing-types/meter", Value::Null).await;
        core.ok("POST", "/things/a", json!({ "thingTypeName": "meter" }))
            .await;
        core.ok("POST", "/thing-types/meter/deprecate", json!({}))
            .await;
        core.ok("PATCH", "/things/a", json!({ "removeThingType": true }))
            .await;
    })
    .await;
    let association = "thingTypeAssociation/thing/a/thingType/meter";
    assert_eq!(
        topics(&told),
        [
            "thingType/meter/created".to_owned(),
            format!("{association}/added"),
            "thingType/meter/updated".to_owned(),
            format!("{association}/removed"),
        ]
    );
    assert_eq!(told[2].1["isDeprecated"], true);
    assert_eq!(told[2].1["deprecationDate"], 1_767_225_600_000_i64);
    assert_eq!(told[1].1["eventType"], "THING_TYPE_ASSOCIATION_EVENT");
    assert_eq!(told[1].1["operation"], "ADDED");

    let told = events_of(&core, async || {
        core.ok("POST", "/thing-groups/site", Value::Null).await;
        let body = json!({ "parentGroupName": "site" });
        core.ok("POST", "/thing-groups/roof", body).await;
        let member = json!({ "thingGroupName": "roof", "thingName": "a" });
        core.ok("PUT", "/thing-groups/addThingToThingGroup", member)
            .await;
        core.ok("DELETE", "/thing-groups/roof", Value::Null).await;
    })
    .await;
    let (hierarchy, membership) = (
        "thingGroupHierarchy/thingGroup/site/childThingGroup/roof",
        "thingGroupMembership/thingGroup/roof/thing/a",
    );
    assert_eq!(
        topics(&told),
        [
            "thingGroup/site/created".to_owned(),
            "thingGroup/roof/created".to_owned(),
            format!("{hierarchy}/added"),
            format!("{membership}/added"),
            format!("{membership}/removed"),
            "thingGroup/roof/deleted".to_owned(),
            format!("{hierarchy}/removed"),
        ]
    );
    let roof = &told[1].1;
    assert_eq!(roof["parentGroupName"], "site");
    assert_eq!(
        roof["rootToParentThingGroups"][0]["groupId"],
        roof["parentGroupId"]
    );
    assert_eq!(told[3].1["membershipId"], told[4].1["membershipId"]);
    assert_eq!(told[3].1["groupId"], roof["thingGroupId"]);
}

#[tokio::test]
async fn a_type_is_deleted_five_minutes_after_its_deprecation() {
    let core = Core::new();
    let delete = ("DELETE", "/thing-types/meter");
    core.ok("POST", "/thing-types/meter", Value::Null).await;
    let refused = "InvalidRequestException";
    core.refused(delete.0, delete.1, Value::Null, 400, refused)
        .await;
    core.ok("POST", "/thing-types/meter/deprecate", json!({}))
        .await;
    core.hand.advance(Duration::seconds(299));
    core.refused(delete.0, delete.1, Value::Null, 400, refused)
        .await;
    core.refused(
        "POST",
        "/things/a",
        json!({ "thingTypeName": "meter" }),
        400,
        refused,
    )
    .await;
    // Deprecating again does not start the five minutes anew; undoing it does.
    core.ok("POST", "/thing-types/meter/deprecate", json!({}))
        .await;
    core.hand.advance(Duration::seconds(1));
    core.ok(delete.0, delete.1, Value::Null).await;
}

#[tokio::test]
async fn every_taggable_resource_keeps_its_tags_and_loses_them_with_it() {
    let core = Core::new();
    let tags = json!([{ "Key": "keep", "Value": "" }, { "Key": "owner", "Value": "Müller" }]);
    let thing = json!({ "Type": "AWS::IoT::Thing", "Properties": { "ThingName": "a" } });
    let template = json!({ "Resources": { "thing": thing } }).to_string();
    let policy = json!({ "policyDocument": super::POLICY, "tags": tags });
    for (path, body, arn) in [
        ("/thing-groups/g", json!({ "tags": tags }), "thinggroup/g"),
        ("/thing-types/t", json!({ "tags": tags }), "thingtype/t"),
        (
            "/billing-groups/b",
            json!({ "tags": tags }),
            "billinggroup/b",
        ),
        ("/policies/p", policy, "policy/p"),
        (
            "/provisioning-templates",
            json!({
                "templateName": "pt", "templateBody": template, "tags": tags,
                "provisioningRoleArn": "arn:aws:iam::123456789012:role/IoTProvisioning",
            }),
            "provisioningtemplate/pt",
        ),
    ] {
        core.ok("POST", path, body).await;
        let arn = format!("arn:aws:iot:eu-west-1:123456789012:{arn}");
        let listed = format!("/tags?resourceArn={arn}");
        let got = core.ok("GET", &listed, Value::Null).await;
        assert_eq!(got["tags"], tags, "{arn}");
        let more = json!({ "resourceArn": arn, "tags": [{ "Key": "owner", "Value": "me" }] });
        core.ok("POST", "/tags", more).await;
        let less = json!({ "resourceArn": arn, "tagKeys": ["keep", "nothing"] });
        core.ok("POST", "/untag", less).await;
        let got = core.ok("GET", &listed, Value::Null).await;
        assert_eq!(
            got["tags"],
            json!([{ "Key": "owner", "Value": "me" }]),
            "{arn}"
        );
        if arn.ends_with("thingtype/t") {
            core.ok("POST", "/thing-types/t/deprecate", json!({})).await;
            core.hand.advance(Duration::minutes(5));
        }
        let path = path.replace("-templates", "-templates/pt");
        core.ok("DELETE", &path, Value::Null).await;
        core.refused(
            "GET",
            &listed,
            Value::Null,
            404,
            "ResourceNotFoundException",
        )
        .await;
    }
    core.ok("POST", "/things/a", Value::Null).await;
    let thing = "/tags?resourceArn=arn:aws:iot:eu-west-1:123456789012:thing/a";
    core.refused("GET", thing, Value::Null, 404, "ResourceNotFoundException")
        .await;
}

#[tokio::test]
async fn things_are_listed_by_attribute_prefix_and_type() {
    let core = Core::new();
    core.ok("POST", "/thing-types/meter", Value::Null).await;
    for (name, site, typed) in [
        ("a", "north-1", true),
        ("b", "north-2", false),
        ("c", "south", true),
    ] {
        let mut body = json!({ "attributePayload": { "attributes": { "site": site } } });
        if typed {
            body["thingTypeName"] = json!("meter");
        }
        core.ok("POST", &format!("/things/{name}"), body).await;
    }
    for (query, expected) in [
        ("", vec!["a", "b", "c"]),
        ("?attributeName=site", vec!["a", "b", "c"]),
        ("?attributeName=other", vec![]),
        ("?attributeName=site&attributeValue=north-2", vec!["b"]),
        ("?attributeName=site&attributeValue=north", vec![]),
        (
            "?attributeName=site&attributeValue=north&usePrefixAttributeValue=true",
            vec!["a", "b"],
        ),
        ("?thingTypeName=meter", vec!["a", "c"]),
        (
            "?thingTypeName=meter&attributeName=site&attributeValue=south",
            vec!["c"],
        ),
        ("?thingTypeName=unknown", vec![]),
    ] {
        let got = core
            .ok("GET", &format!("/things{query}"), Value::Null)
            .await;
        let names: Vec<&str> = got["things"]
            .as_array()
            .unwrap()
            .iter()
            .map(|thing| thing["thingName"].as_str().unwrap())
            .collect();
        assert_eq!(names, expected, "{query}");
    }
    let value_alone = "/things?attributeValue=north";
    core.refused(
        "GET",
        value_alone,
        Value::Null,
        400,
        "InvalidRequestException",
    )
    .await;
}

#[tokio::test]
async fn a_billing_group_created_twice_alike_is_the_same() {
    let core = Core::new();
    let body = json!({ "billingGroupProperties": { "billingGroupDescription": "north" } });
    let first = core.ok("POST", "/billing-groups/b", body.clone()).await;
    assert_eq!(core.ok("POST", "/billing-groups/b", body).await, first);
    let exists = "ResourceAlreadyExistsException";
    core.refused("POST", "/billing-groups/b", Value::Null, 409, exists)
        .await;
}
