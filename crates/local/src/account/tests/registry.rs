//! Things, types and groups.

use super::*;

#[test]
fn creating_a_thing_again_is_the_same_thing_unless_it_differs() {
    let account = account();
    let ask = |value: &str| CreateThing {
        name: "sensor-17".to_owned(),
        attributes: [("colour".to_owned(), value.to_owned())].into(),
        ..CreateThing::default()
    };
    let first = account.write(|tx| things::create(tx, ask("red"))).unwrap();
    let again = account.write(|tx| things::create(tx, ask("red"))).unwrap();
    assert_eq!(first.id, again.id);
    let error = account
        .write(|tx| things::create(tx, ask("blue")))
        .unwrap_err();
    assert_eq!(error.code, "ResourceAlreadyExistsException");
}

#[test]
fn attributes_merge_vanish_and_are_counted() {
    let account = account();
    thing(&account, "t");
    let update = |pairs: &[(&str, &str)], merge, expected_version| {
        let attributes = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let ask = UpdateThing {
            attributes: Some(attributes.collect()),
            merge,
            expected_version,
            ..UpdateThing::default()
        };
        account
            .write(|tx| things::update(tx, "t", ask))
            .map_err(|error| error.code)
    };
    update(&[("a", "1"), ("b", "2")], false, Some(1)).unwrap();
    update(&[("a", ""), ("c", "3")], true, Some(2)).unwrap();
    assert_eq!(update(&[], true, Some(2)), Err("VersionConflictException"));
    assert_eq!(
        update(&[("d", "4"), ("e", "5")], true, None),
        Err("InvalidRequestException")
    );
    let thing = things::find(&account.snapshot(), "t").unwrap();
    assert_eq!(thing.version, 3);
    assert_eq!(thing.attributes.keys().collect::<Vec<_>>(), ["b", "c"]);
}

#[test]
fn an_exclusive_attachment_stands_alone() {
    let account = account();
    let (id, arn) = certificate(&account, CertificateStatus::Inactive);
    thing(&account, "one");
    thing(&account, "two");
    let exclusive = Some(ThingPrincipalType::ExclusiveThing);
    let attach = |thing: &str, kind| {
        let outcome = account.write(|tx| principals::attach(tx, thing, &arn, kind));
        outcome.map_err(|error| error.code)
    };
    attach("one", exclusive).unwrap();
    attach("one", exclusive).unwrap();
    attach("one", None).unwrap();
    assert_eq!(attach("two", None), Err("InvalidRequestException"));
    assert_eq!(attach("two", exclusive), Err("InvalidRequestException"));
    let state = account.snapshot();
    assert_eq!(
        state.exclusive_thing_of_certificate(&id).unwrap().name,
        "one"
    );
    account
        .write(|tx| principals::detach(tx, "one", &arn))
        .unwrap();
    attach("one", None).unwrap();
    attach("two", None).unwrap();
    assert_eq!(attach("two", exclusive), Err("InvalidRequestException"));
}

#[test]
fn a_thing_type_leaves_five_minutes_after_its_deprecation() {
    let (account, clock) = account_with(Storage::memory());
    account
        .write(|tx| types::create(tx, "bulb", Default::default(), Default::default()))
        .unwrap();
    let delete = || {
        account
            .write(|tx| types::delete(tx, "bulb"))
            .map_err(|error| error.code)
    };
    assert_eq!(delete(), Err("InvalidRequestException"));
    account
        .write(|tx| types::deprecate(tx, "bulb", false))
        .unwrap();
    clock.advance(time::Duration::seconds(299));
    assert_eq!(delete(), Err("InvalidRequestException"));
    let ask = CreateThing {
        name: "t".to_owned(),
        type_name: Some("bulb".to_owned()),
        ..CreateThing::default()
    };
    let error = account.write(|tx| things::create(tx, ask)).unwrap_err();
    assert_eq!(
        error.message,
        "Can not create new thing with depreated thing type:bulb"
    );
    clock.advance(time::Duration::seconds(1));
    assert_eq!(delete(), Ok(()));
}

#[test]
fn a_thing_is_in_one_group_of_a_hierarchy() {
    let account = account();
    thing(&account, "t");
    let group = |name: &str, parent: Option<&str>| {
        let properties = groups::GroupProperties::default();
        let outcome =
            account.write(|tx| groups::create(tx, name, parent, properties, Default::default()));
        outcome.map(|_| ()).map_err(|error| error.code)
    };
    group("root", None).unwrap();
    group("left", Some("root")).unwrap();
    group("right", Some("root")).unwrap();
    group("left", Some("root")).unwrap();
    assert_eq!(group("left", None), Err("ResourceAlreadyExistsException"));
    assert_eq!(
        group("lost", Some("nowhere")),
        Err("InvalidRequestException")
    );
    account
        .write(|tx| groups::add_thing(tx, "left", "t"))
        .unwrap();
    let twice = account.write(|tx| groups::add_thing(tx, "right", "t"));
    assert_eq!(twice.unwrap_err().code, "InvalidRequestException");
    let error = account
        .write(|tx| groups::delete(tx, "root", None))
        .unwrap_err();
    assert!(error.message.contains("child groups"), "{error}");
    account
        .write(|tx| groups::delete(tx, "left", None))
        .unwrap();
    assert!(account.snapshot().groups_of_thing("t").is_empty());
}

#[test]
fn policies_of_groups_reach_a_thing_through_its_ancestors() {
    let account = account();
    thing(&account, "t");
    account
        .write(|tx| {
            let none = groups::GroupProperties::default;
            groups::create(tx, "root", None, none(), Default::default())?;
            groups::create(tx, "leaf", Some("root"), none(), Default::default())?;
            groups::add_thing(tx, "leaf", "t")?;
            policies::create(tx, "p", POLICY, Default::default())?;
            let arn = tx.scope.arn("thinggroup", "root");
            policies::attach(tx, "p", &arn)
        })
        .unwrap();
    let names: Vec<_> = account
        .snapshot()
        .policies_of_thing_groups("t")
        .into_iter()
        .map(|policy| policy.name)
        .collect();
    assert_eq!(names, ["p"]);
}

#[test]
fn what_a_connection_may_do_is_as_before_until_something_of_its_own_changes() {
    let account = account();
    let (id, arn) = certificate(&account, CertificateStatus::Active);
    let (_, others) = certificate(&account, CertificateStatus::Active);
    for name in ["t", "other"] {
        thing(&account, name);
    }
    account
        .write(|tx| {
            policies::create(tx, "p", POLICY, Default::default())?;
            groups::create(tx, "g", None, Default::default(), Default::default())
        })
        .unwrap();
    let merge = |tx: &mut Transaction, thing: &str| {
        let update = UpdateThing {
            attributes: Some([("k".to_owned(), "v".to_owned())].into()),
            merge: true,
            ..UpdateThing::default()
        };
        things::update(tx, thing, update)
    };
    type Step<'a> = &'a dyn Fn(&mut Transaction) -> Result<(), ApiError>;
    let strangers: [Step<'_>; 4] = [
        &|tx| policies::attach(tx, "p", &others),
        &|tx| merge(tx, "other").map(drop),
        &|tx| principals::attach(tx, "other", &others, None).map(drop),
        &|tx| groups::add_thing(tx, "g", "other"),
    ];
    let own: [Step<'_>; 6] = [
        &|tx| policies::attach(tx, "p", &arn),
        &|tx| policies::create_version(tx, "p", POLICY, true).map(drop),
        &|tx| merge(tx, "t").map(drop),
        &|tx| principals::attach(tx, "t", &arn, None).map(drop),
        &|tx| groups::add_thing(tx, "g", "t"),
        &|tx| certificates::update(tx, &id, CertificateStatus::Inactive),
    ];
    for (steps, same) in [(&strangers[..], true), (&own[..], false)] {
        for (number, step) in steps.iter().enumerate() {
            let before = account.snapshot();
            account.write(step).unwrap();
            let present = account.snapshot();
            assert_eq!(present.grants_as(&before, &id, "t"), same, "{number}");
        }
    }
}
