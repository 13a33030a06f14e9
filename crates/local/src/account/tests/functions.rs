//! Functions of AWS Lambda, as the account keeps them.

use bytes::Bytes;

use crate::account::functions::{self, CreateFunction};
use crate::account::{Account, AccountSettings, Clock, Permission};
use crate::storage::Storage;

#[test]
fn a_function_survives_a_stop_with_its_code_and_permissions_and_goes_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        Account::open(AccountSettings {
            account_id: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint: "localhost".to_owned(),
            clock: Clock::system(),
            storage: Storage::open(folder.path()).unwrap(),
        })
        .unwrap()
    };
    let ask = || CreateFunction {
        name: "hook".to_owned(),
        code: Bytes::from_static(b"code"),
        ..CreateFunction::default()
    };
    let permission = Permission {
        action: "lambda:InvokeFunction".to_owned(),
        principal: "iot.amazonaws.com".to_owned(),
        source_account: Some("123456789012".to_owned()),
        ..Permission::default()
    };
    let account = open();
    account.write(|tx| functions::create(tx, ask())).unwrap();
    account
        .write(|tx| functions::add_permission(tx, "hook", "iot", permission, None))
        .unwrap();
    drop(account);

    let account = open();
    let hook = functions::find(&account.snapshot(), "hook").unwrap();
    assert_eq!(hook.code, "code");
    let template = "arn:aws:iot:eu-west-1:123456789012:provisioningtemplate/Fleet";
    let may = |service, account| functions::may_be_called(&hook, service, template, account);
    assert!(may("iot.amazonaws.com", "123456789012"));
    assert!(!may("iot.amazonaws.com", "210987654321"));
    assert!(!may("s3.amazonaws.com", "123456789012"));
    account.write(|tx| functions::delete(tx, "hook")).unwrap();
    drop(account);
    let account = open();
    assert!(account.snapshot().functions.is_empty());
    let fresh = account.write(|tx| functions::create(tx, ask())).unwrap();
    assert!(fresh.permissions.is_empty());
}
