"""Cases: CA certificates: registration, proof of possession, update, deletion, lists."""

import json

import pki
from control import MARKERS, pages
from lab import ROLE, TEMPLATE, case, expect_error, unique


@case
def a_ca_is_registered_with_its_template_and_described_whole(core):
    authority = pki.Authority(unique("described"))
    ca_id = core.register_ca(authority)
    assert ca_id == authority.id, "the id is not the SHA-256 of the DER"
    answer = core.iot.describe_ca_certificate(certificateId=ca_id)
    told = answer["certificateDescription"]
    assert told["status"] == "ACTIVE" and told["autoRegistrationStatus"] == "ENABLE"
    assert told["certificateMode"] == "DEFAULT" and told["customerVersion"] == 1
    assert told["certificateArn"].endswith(f":cacert/{ca_id}"), told["certificateArn"]
    assert told["certificatePem"].split() == authority.pem.split()
    assert told["ownedBy"] == told["certificateArn"].split(":")[4]
    assert told["creationDate"] and told["lastModifiedDate"] and told["generationId"]
    expected = authority.certificate.not_valid_after_utc
    assert told["validity"]["notAfter"].timestamp() == expected.timestamp()
    config = answer["registrationConfig"]
    assert json.loads(config["templateBody"]) == TEMPLATE and config["roleArn"] == ROLE


@case
def a_ca_without_flags_is_inactive_and_does_not_auto_register(core):
    ca_id = core.register_ca(
        pki.Authority(unique("plain")), template=None, active=False, auto=False
    )
    answer = core.iot.describe_ca_certificate(certificateId=ca_id)
    told = answer["certificateDescription"]
    assert (told["status"], told["autoRegistrationStatus"]) == ("INACTIVE", "DISABLE"), told
    assert not answer.get("registrationConfig"), answer["registrationConfig"]


@case
def an_intermediate_ca_can_be_registered(core):
    core.register_ca(pki.Authority(unique("line"), issuer=pki.Authority(unique("headquarters"))))


@case
def a_sni_only_ca_needs_no_verification_certificate(core):
    authority = pki.Authority(unique("sni-only"))
    ca_id = core.iot.register_ca_certificate(
        caCertificate=authority.pem, certificateMode="SNI_ONLY", setAsActive=True
    )["certificateId"]
    told = core.iot.describe_ca_certificate(certificateId=ca_id)["certificateDescription"]
    assert told["certificateMode"] == "SNI_ONLY"
    leaf = authority.issue("sensor")
    core.iot.register_certificate(certificatePem=leaf.pem, status="ACTIVE")
    told = core.iot.describe_certificate(certificateId=leaf.id)["certificateDescription"]
    assert told["certificateMode"] == "SNI_ONLY", "the mode is not inherited"


@case
def a_sni_only_ca_with_a_verification_certificate_is_refused(core):
    authority = pki.Authority(unique("both"))
    code = core.iot.get_registration_code()["registrationCode"]
    expect_error(
        "InvalidRequestException",
        core.iot.register_ca_certificate,
        caCertificate=authority.pem,
        verificationCertificate=authority.issue(code).pem,
        certificateMode="SNI_ONLY",
    )


@case
def a_ca_without_verification_certificate_is_refused(core):
    expect_error(
        "InvalidRequestException",
        core.iot.register_ca_certificate,
        caCertificate=pki.Authority(unique("unproven")).pem,
    )


@case
def a_ca_is_registered_once(core):
    authority = pki.Authority(unique("twice"))
    ca_id = core.register_ca(authority)
    told = expect_error("ResourceAlreadyExistsException", core.register_ca, authority=authority)
    assert told["resourceId"] == ca_id and told["resourceArn"].endswith(ca_id), told


@case
def a_verification_certificate_for_another_code_is_refused(core):
    authority = pki.Authority(unique("wrong-code"))
    expect_error(
        "RegistrationCodeValidationException",
        core.iot.register_ca_certificate,
        caCertificate=authority.pem,
        verificationCertificate=authority.issue("0" * 64).pem,
    )


@case
def a_verification_certificate_of_another_ca_is_refused(core):
    name = unique("same-name")
    code = core.iot.get_registration_code()["registrationCode"]
    expect_error(
        "CertificateValidationException",
        core.iot.register_ca_certificate,
        caCertificate=pki.Authority(name).pem,
        verificationCertificate=pki.Authority(name).issue(code).pem,
    )


@case
def a_certificate_that_is_no_ca_is_refused_as_ca(core):
    code = core.iot.get_registration_code()["registrationCode"]
    leaf = pki.self_signed(unique("leaf"))
    expect_error(
        "CertificateValidationException",
        core.iot.register_ca_certificate,
        caCertificate=leaf.pem,
        verificationCertificate=leaf.issue(code).pem,
    )


@case
def a_ca_with_a_weak_key_is_refused(core):
    authority = pki.Authority(unique("rsa1024"), key=pki.rsa_key(1024))
    expect_error("CertificateValidationException", core.register_ca, authority=authority)


@case
def a_verification_certificate_signed_with_sha1_is_refused(core):
    authority = pki.Authority(unique("sha1"))
    code = core.iot.get_registration_code()["registrationCode"]
    expect_error(
        "CertificateValidationException",
        core.iot.register_ca_certificate,
        caCertificate=authority.pem,
        verificationCertificate=authority.issue(code, sha1=True).pem,
    )


@case
def a_ca_that_cannot_be_read_is_refused(core):
    expect_error(
        "CertificateValidationException",
        core.iot.register_ca_certificate,
        caCertificate="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        verificationCertificate=pki.self_signed("x").pem,
    )


@case
def ten_cas_may_share_a_subject_and_no_more(core):
    name = unique("crowd")
    for _ in range(10):
        core.register_ca(pki.Authority(name))
    expect_error("LimitExceededException", core.register_ca, authority=pki.Authority(name))


@case
def a_ca_with_an_unknown_provisioning_template_is_refused(core):
    authority = pki.Authority(unique("templated"))
    code = core.iot.get_registration_code()["registrationCode"]
    expect_error(
        "ResourceNotFoundException",
        core.iot.register_ca_certificate,
        caCertificate=authority.pem,
        verificationCertificate=authority.issue(code).pem,
        registrationConfig={"templateName": "missing"},
    )


@case
def a_ca_is_updated(core):
    ca_id = core.register_ca(pki.Authority(unique("updated")))
    changed = {**TEMPLATE, "Resources": {"thing": TEMPLATE["Resources"]["thing"]}}
    core.iot.update_ca_certificate(
        certificateId=ca_id,
        newStatus="INACTIVE",
        newAutoRegistrationStatus="DISABLE",
        registrationConfig={"templateBody": json.dumps(changed), "roleArn": ROLE},
    )
    answer = core.iot.describe_ca_certificate(certificateId=ca_id)
    told = answer["certificateDescription"]
    assert (told["status"], told["autoRegistrationStatus"]) == ("INACTIVE", "DISABLE"), told
    assert json.loads(answer["registrationConfig"]["templateBody"]) == changed
    assert told["lastModifiedDate"] >= told["creationDate"]
    core.iot.update_ca_certificate(certificateId=ca_id, removeAutoRegistration=True)
    answer = core.iot.describe_ca_certificate(certificateId=ca_id)
    assert not answer.get("registrationConfig"), "removeAutoRegistration left the configuration"


@case
def an_active_ca_cannot_be_deleted(core):
    ca_id = core.register_ca(pki.Authority(unique("deleted")))
    expect_error("CertificateStateException", core.iot.delete_ca_certificate, certificateId=ca_id)
    core.iot.update_ca_certificate(certificateId=ca_id, newStatus="INACTIVE")
    core.iot.delete_ca_certificate(certificateId=ca_id)
    for call in (
        core.iot.describe_ca_certificate,
        core.iot.delete_ca_certificate,
        core.iot.update_ca_certificate,
    ):
        expect_error("ResourceNotFoundException", call, certificateId=ca_id)


@case
def cas_are_listed_page_by_page_in_both_directions(core):
    registered = [core.register_ca(pki.Authority(unique("listed"))) for _ in range(3)]
    call = core.iot.list_ca_certificates
    found = pages(call, MARKERS, "certificates", 2)
    assert all(len(page) == 2 for page in found[:-1]), [len(page) for page in found]
    ids = [item["certificateId"] for page in found for item in page]
    assert len(set(ids)) == len(ids) and set(registered) <= set(ids)
    backwards = pages(call, MARKERS, "certificates", 2, ascendingOrder=False)
    assert sorted(item["certificateId"] for page in backwards for item in page) == sorted(ids)
    up = pages(call, MARKERS, "certificates", 250, ascendingOrder=True)
    dates = [item["creationDate"] for page in up for item in page]
    assert dates == sorted(dates), "not ordered by creation date"
