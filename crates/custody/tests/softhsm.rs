//! Tokens of SoftHSM, each in a folder of its own.
//!
//! SoftHSM reads where its tokens are from the environment, once in a process: so every test runs itself again in a
//! process that has it.

use std::fs;
use std::path::Path;
use std::process::Command;

use jitp_core::ca::{
    CaError, CaKey, CertificateAuthority, ExternalKey, KeyType, Profile, Subject, Validity,
};
use jitp_core::failure::{Class, Classified};
use jitp_core::names::ThingName;
use jitp_custody::{Pin, Token, TokenError, TokenKey, TokenUri, TriesLeft, module_path};
use openssl::{nid::Nid, pkey::PKey, x509::X509};
use time::OffsetDateTime;

const PIN: &str = "987654";

/// Runs the test in a process whose SoftHSM has one token, `factory`, with this PIN.
fn with_a_token(name: &str, test: fn(&Path)) {
    const INSIDE: &str = "JITP_TEST_TOKEN_FOLDER";
    if let Some(folder) = std::env::var_os(INSIDE) {
        return test(Path::new(&folder));
    }
    if Command::new("softhsm2-util")
        .arg("--version")
        .output()
        .is_err()
    {
        assert!(std::env::var_os("CI").is_none(), "CI installs softhsm2");
        eprintln!("skipped: softhsm2-util is missing; remedy: apt-get install softhsm2");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    let configuration = folder.path().join("softhsm2.conf");
    fs::create_dir(&tokens).unwrap();
    let text = format!(
        "directories.tokendir = {}\nlog.level = ERROR\n",
        tokens.display()
    );
    fs::write(&configuration, text).unwrap();
    let made = Command::new("softhsm2-util")
        .args([
            "--init-token",
            "--free",
            "--label",
            "factory",
            "--so-pin",
            "12345678",
        ])
        .args(["--pin", PIN])
        .env("SOFTHSM2_CONF", &configuration)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let inside = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("SOFTHSM2_CONF", &configuration)
        .env(INSIDE, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inside.stderr);
    let counted = String::from_utf8_lossy(&inside.stdout);
    assert!(inside.status.success(), "{said}\n{counted}");
    assert!(counted.contains("1 passed"), "{counted}");
}

fn uri(text: &str) -> TokenUri {
    text.parse().unwrap()
}

fn find(text: &str) -> Result<Token, TokenError> {
    Token::find(&uri(text), &module_path(None)?, true)
}

fn open(text: &str) -> Result<Token, TokenError> {
    let token = find(text)?;
    assert!(token.wants_pin());
    token.login(Some(pin(PIN)))?;
    Ok(token)
}

fn pin(digits: &str) -> Pin {
    Pin::stored(digits.to_owned().into())
}

fn generate(name: &str, key_type: KeyType) -> TokenKey {
    let text = format!("pkcs11:token=factory;object={name}");
    open(&text)
        .unwrap()
        .generate(&uri(&text), key_type)
        .unwrap()
}

fn key(text: &str) -> Result<TokenKey, TokenError> {
    open(text)?.key(&uri(text), None)
}

fn root(key: impl ExternalKey + 'static) -> CertificateAuthority {
    CertificateAuthority::create_root_of(
        &Subject::default(),
        CaKey::External(Box::new(key)),
        Validity::ROOT,
        OffsetDateTime::now_utc(),
    )
    .unwrap()
}

/// Puts a key that was made outside into the token.
fn import(folder: &Path, key: &[u8], label: &str, id: &str) {
    let file = folder.join("import.key");
    fs::write(&file, key).unwrap();
    let imported = Command::new("softhsm2-util")
        .args([
            "--token", "factory", "--pin", PIN, "--label", label, "--id", id,
        ])
        .arg("--import")
        .arg(&file)
        .output()
        .unwrap();
    assert!(imported.status.success(), "{imported:?}");
}

#[test]
fn every_kind_of_key_is_made_in_the_token_and_signs_what_openssl_believes() {
    with_a_token(
        "every_kind_of_key_is_made_in_the_token_and_signs_what_openssl_believes",
        |_| {
            let device: ThingName = "sensor".parse().unwrap();
            for key_type in KeyType::ALL {
                let made = generate(key_type.as_str(), key_type);
                assert_eq!(made.key_type(), key_type);
                let ca = root(made);
                assert!(ca.private_key().is_none());
                let again = key(&format!("pkcs11:object={key_type}")).unwrap();
                let ca = CertificateAuthority::load_external(ca.certificate_pem(), Box::new(again))
                    .unwrap();
                let now = OffsetDateTime::now_utc();
                let issued = ca.issue(&device, &Profile::device(), now).unwrap();
                let signer = X509::from_der(ca.certificate().der()).unwrap();
                let leaf = X509::from_der(issued.certificate().der()).unwrap();
                let signer = signer.public_key().unwrap();
                assert!(leaf.verify(&signer).unwrap(), "{key_type}");
            }
        },
    );
}

#[test]
fn several_threads_sign_at_once() {
    with_a_token("several_threads_sign_at_once", |_| {
        let ca = root(generate("root", KeyType::P256));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let ca = &ca;
                scope.spawn(move || {
                    for number in 0..25 {
                        let name = format!("d-{thread}-{number}");
                        let name: ThingName = name.parse().unwrap();
                        let now = OffsetDateTime::now_utc();
                        ca.issue(&name, &Profile::device(), now).unwrap();
                    }
                });
            }
        });
    });
}

#[test]
fn a_wrong_pin_is_tried_once_and_told_from_a_missing_one() {
    with_a_token(
        "a_wrong_pin_is_tried_once_and_told_from_a_missing_one",
        |_| {
            let refusal = find("pkcs11:token=factory")
                .unwrap()
                .login(None)
                .unwrap_err();
            assert!(matches!(refusal, TokenError::PinNeeded { .. }), "{refusal}");
            let wrong = || {
                let token = find("pkcs11:token=factory").unwrap();
                token.login(Some(pin("123123"))).unwrap_err()
            };
            let refusal = wrong();
            let left = TriesLeft::Unknown;
            assert!(
                matches!(&refusal, TokenError::WrongPin { left: l, .. } if *l == left),
                "{refusal}"
            );
            assert_eq!(refusal.class(), Class::Configuration);
            // SoftHSM says so after the first, as real tokens do, and never locks.
            let again = wrong().to_string();
            assert!(again.contains("has been before"), "{again}");
            let said = format!("{refusal} {refusal:?} {again}");
            assert!(!said.contains("123123"), "{said}");
            open("pkcs11:token=factory").unwrap();
        },
    );
}

#[test]
fn tokens_and_keys_that_are_not_there_are_named_beside_those_that_are() {
    with_a_token(
        "tokens_and_keys_that_are_not_there_are_named_beside_those_that_are",
        |_| {
            let refusal = find("pkcs11:token=fabrik").unwrap_err();
            let said = refusal.to_string();
            assert!(matches!(refusal, TokenError::NoToken { .. }), "{said}");
            assert!(
                said.contains("token=fabrik") && said.contains("there is factory"),
                "{said}"
            );
            let refusal = key("pkcs11:token=factory;object=root").unwrap_err();
            assert!(
                refusal.to_string().contains("no private key at all"),
                "{refusal}"
            );
            generate("root", KeyType::P256);
            generate("line 4", KeyType::P256);
            let refusal = key("pkcs11:token=factory;object=rot").unwrap_err();
            let said = refusal.to_string();
            assert_eq!(refusal.class(), Class::NotFound);
            assert!(
                said.contains("object=root") && said.contains("object=line%204"),
                "{said}"
            );
            let refusal = key("pkcs11:token=factory").unwrap_err();
            assert!(
                matches!(&refusal, TokenError::SeveralKeys { present, .. } if present.len() == 2)
            );
            let text = "pkcs11:token=factory;object=root";
            let twice = open(text).unwrap().generate(&uri(text), KeyType::P256);
            assert_eq!(twice.unwrap_err().class(), Class::Conflict);
            let nameless = "pkcs11:token=factory";
            let nameless = open(nameless)
                .unwrap()
                .generate(&uri(nameless), KeyType::P256);
            assert!(matches!(nameless, Err(TokenError::NoName)));
            key("pkcs11:object=root").unwrap();
        },
    );
}

#[test]
fn a_key_of_another_kind_is_refused_by_what_it_is() {
    with_a_token("a_key_of_another_kind_is_refused_by_what_it_is", |folder| {
        let group = openssl::ec::EcGroup::from_curve_name(Nid::SECP521R1).unwrap();
        let p521 = PKey::from_ec_key(openssl::ec::EcKey::generate(&group).unwrap()).unwrap();
        let rsa = PKey::from_rsa(openssl::rsa::Rsa::generate(1024).unwrap()).unwrap();
        for (pkey, label, id, why) in [
            (&p521, "p521", "0521", "EC on another curve"),
            (&rsa, "small", "1024", "RSA with 1024 bits"),
        ] {
            import(folder, &pkey.private_key_to_pem_pkcs8().unwrap(), label, id);
            let refusal = key(&format!("pkcs11:object={label}")).unwrap_err();
            assert!(refusal.to_string().contains(why), "{refusal}");
            assert!(refusal.hint().unwrap().contains("P-256"));
        }
    });
}

#[test]
fn the_key_of_another_certificate_is_refused() {
    with_a_token("the_key_of_another_certificate_is_refused", |_| {
        let ca = root(generate("one", KeyType::P256));
        generate("other", KeyType::P256);
        let other = key("pkcs11:object=other").unwrap();
        let loaded = CertificateAuthority::load_external(ca.certificate_pem(), Box::new(other));
        assert!(matches!(loaded, Err(CaError::KeyMismatch { .. })));
    });
}

#[test]
fn a_token_that_goes_away_is_an_error_and_not_the_end() {
    with_a_token(
        "a_token_that_goes_away_is_an_error_and_not_the_end",
        |folder| {
            let ca = root(generate("root", KeyType::P256));
            let issue = |name: &str| {
                let name: ThingName = name.parse().unwrap();
                ca.issue(&name, &Profile::device(), OffsetDateTime::now_utc())
            };
            issue("a").unwrap();
            fs::remove_dir_all(folder.join("tokens")).unwrap();
            let refusal = issue("b").unwrap_err();
            let gone = "the token factory is gone (CKR_";
            assert!(refusal.to_string().starts_with(gone), "{refusal}");
            assert_eq!(refusal.class(), Class::Configuration);
            assert!(issue("c").is_err());
        },
    );
}

#[test]
fn a_module_that_is_none_is_named() {
    let uri = uri("pkcs11:token=factory");
    for (path, why) in [
        ("/nowhere/token.so", "No such file"),
        ("/bin/sh", "cannot use the PKCS#11 module /bin/sh"),
    ] {
        let refusal = Token::find(&uri, Path::new(path), false).unwrap_err();
        assert!(refusal.to_string().contains(why), "{refusal}");
        assert_eq!(refusal.class(), Class::Configuration);
    }
}
