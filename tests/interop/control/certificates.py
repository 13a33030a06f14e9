"""Cases: Device certificates: registration, statuses, deletion, lists."""

from botocore.exceptions import ClientError

import pki
from control import MARKERS, NOWHERE, pages
from lab import POLICY, case, eventually, expect_error, unique


@case
def a_device_certificate_of_a_registered_ca_is_described_whole(core):
    authority = pki.Authority(unique("issuer"))
    ca_id = core.register_ca(authority)
    leaf = authority.issue(unique("device"))
    answer = core.iot.register_certificate(
        certificatePem=leaf.pem, caCertificatePem=authority.pem, status="ACTIVE"
    )
    assert answer["certificateId"] == leaf.id
    told = core.iot.describe_certificate(certificateId=leaf.id)["certificateDescription"]
    assert told["certificateArn"] == answer["certificateArn"]
    assert told["certificateArn"].endswith(f":cert/{leaf.id}")
    assert told["caCertificateId"] == ca_id and told["status"] == "ACTIVE"
    assert told["certificateMode"] == "DEFAULT"
    assert told["certificatePem"].split() == leaf.pem.split()
    assert told["customerVersion"] and told["generationId"] and told["ownedBy"]
    expected = leaf.certificate.not_valid_before_utc
    assert told["validity"]["notBefore"].timestamp() == expected.timestamp()
    by_ca = core.iot.list_certificates_by_ca(caCertificateId=ca_id)["certificates"]
    assert [item["certificateId"] for item in by_ca] == [leaf.id], by_ca


@case
def a_device_certificate_is_registered_once(core):
    leaf = pki.self_signed(unique("twice"))
    core.register(leaf)
    told = expect_error(
        "ResourceAlreadyExistsException",
        core.iot.register_certificate_without_ca,
        certificatePem=leaf.pem,
    )
    assert told["resourceId"] == leaf.id and told["resourceArn"].endswith(leaf.id), told


@case
def a_device_certificate_without_status_is_inactive(core):
    leaf = pki.self_signed(unique("quiet"))
    core.iot.register_certificate_without_ca(certificatePem=leaf.pem)
    told = core.iot.describe_certificate(certificateId=leaf.id)["certificateDescription"]
    assert told["status"] == "INACTIVE" and told["certificateMode"] == "SNI_ONLY"
    assert not told.get("caCertificateId")


@case
def a_device_certificate_of_an_inactive_ca_is_refused(core):
    authority = pki.Authority(unique("asleep"))
    core.register_ca(authority, active=False)
    leaf = authority.issue("sensor")
    try:
        core.iot.register_certificate(
            certificatePem=leaf.pem, caCertificatePem=authority.pem, status="ACTIVE"
        )
    except ClientError:
        return  # which error AWS answers here is documented nowhere; that it is modelled is checked
    raise AssertionError("accepted")


@case
def a_device_certificate_of_another_ca_is_refused(core):
    name = unique("namesake")
    registered, stranger = pki.Authority(name), pki.Authority(name)
    core.register_ca(registered)
    expect_error(
        "CertificateValidationException",
        core.iot.register_certificate,
        certificatePem=stranger.issue("sensor").pem,
        caCertificatePem=registered.pem,
    )


@case
def a_device_certificate_with_a_broken_signature_is_refused(core):
    authority = pki.Authority(unique("broken"))
    core.register_ca(authority)
    leaf = pki.with_broken_signature(authority.issue("sensor"))
    expect_error(
        "CertificateValidationException",
        core.iot.register_certificate,
        certificatePem=leaf.pem,
        caCertificatePem=authority.pem,
    )


@case
def a_device_certificate_with_a_weak_key_or_hash_is_refused(core):
    authority = pki.Authority(unique("weak"))
    core.register_ca(authority)
    for leaf in (
        authority.issue("rsa1024", key=pki.rsa_key(1024)),
        authority.issue("sha1", sha1=True),
    ):
        expect_error(
            "CertificateValidationException",
            core.iot.register_certificate,
            certificatePem=leaf.pem,
            caCertificatePem=authority.pem,
        )


@case
def a_device_certificate_of_an_old_script_is_accepted(core):
    authority = pki.Authority(unique("old-scripts"))
    core.register_ca(authority)
    leaf = authority.issue("sensor", version=1)
    core.iot.register_certificate(
        certificatePem=leaf.pem, caCertificatePem=authority.pem, status="ACTIVE"
    )
    assert core.certificate_status(leaf.id) == "ACTIVE"


@case
def nobody_registers_a_certificate_as_pending_activation(core):
    expect_error(
        "CertificateStateException",
        core.iot.register_certificate_without_ca,
        certificatePem=pki.self_signed(unique("pending")).pem,
        status="PENDING_ACTIVATION",
    )


@case
def aws_makes_keys_and_certificate(core):
    answer = core.iot.create_keys_and_certificate(setAsActive=True)
    key = answer["keyPair"]["PrivateKey"]
    assert "PRIVATE KEY" in key and "PUBLIC KEY" in answer["keyPair"]["PublicKey"]
    assert core.certificate_status(answer["certificateId"]) == "ACTIVE"
    described = core.iot.describe_certificate(certificateId=answer["certificateId"])
    assert described["certificateDescription"]["certificatePem"] == answer["certificatePem"]


@case
def aws_signs_a_request_and_never_twice_the_same(core):
    request, _ = pki.signing_request("requested")
    first = core.iot.create_certificate_from_csr(certificateSigningRequest=request)
    second = core.iot.create_certificate_from_csr(
        certificateSigningRequest=request, setAsActive=True
    )
    assert first["certificateId"] != second["certificateId"]
    assert core.certificate_status(first["certificateId"]) == "INACTIVE"
    assert core.certificate_status(second["certificateId"]) == "ACTIVE"


@case
def a_request_that_cannot_be_read_is_refused(core):
    expect_error(
        "InvalidRequestException",
        core.iot.create_certificate_from_csr,
        certificateSigningRequest="not a request",
    )


@case
def a_certificate_goes_from_status_to_status(core):
    leaf = pki.self_signed(unique("states"))
    core.register(leaf, policy_name=None)
    for status in ("INACTIVE", "ACTIVE", "ACTIVE", "REVOKED"):
        core.iot.update_certificate(certificateId=leaf.id, newStatus=status)
        assert core.certificate_status(leaf.id) == status
    for status in ("PENDING_ACTIVATION", "PENDING_TRANSFER", "NONSENSE"):
        try:
            core.iot.update_certificate(certificateId=leaf.id, newStatus=status)
        except ClientError:
            continue
        raise AssertionError(f"{status} accepted")


@case
def certificates_are_listed_page_by_page(core):
    for _ in range(5):
        core.register(pki.self_signed(unique("listed")), policy_name=None)
    call = core.iot.list_certificates
    found = pages(call, MARKERS, "certificates", 3)
    assert len(found) > 1 and all(len(page) == 3 for page in found[:-1])
    listed = [item["certificateId"] for page in found for item in page]
    assert len(set(listed)) == len(listed) and set(listed) == core.certificate_ids()
    up = pages(call, MARKERS, "certificates", 250, ascendingOrder=True)
    dates = [item["creationDate"] for item in up[0]]
    assert dates == sorted(dates)


@case
def a_page_holds_25_certificates_unless_told_otherwise(core):
    while len(core.certificate_ids()) < 27:
        core.register(pki.self_signed(unique("many")), policy_name=None)
    answer = core.iot.list_certificates()
    assert len(answer["certificates"]) == 25 and answer["nextMarker"]


@case
def page_sizes_outside_1_to_250_and_foreign_markers_are_refused(core):
    lenient = core.client(parameter_validation=False)
    expect_error("InvalidRequestException", lenient.list_certificates, pageSize=0)
    expect_error("InvalidRequestException", lenient.list_certificates, pageSize=251)
    expect_error("InvalidRequestException", lenient.list_things, maxResults=251)
    expect_error("InvalidRequestException", lenient.list_certificates, marker="%%%")


@case
def a_certificate_in_use_is_not_deleted(core):
    leaf, thing = pki.self_signed(unique("used")), unique("thing")
    arn = core.register(leaf)
    core.iot.create_thing(thingName=thing)
    core.iot.attach_thing_principal(thingName=thing, principal=arn)
    delete = core.iot.delete_certificate
    expect_error("CertificateStateException", delete, certificateId=leaf.id)
    expect_error("CertificateStateException", delete, certificateId=leaf.id, forceDelete=True)
    core.iot.update_certificate(certificateId=leaf.id, newStatus="INACTIVE")
    expect_error("DeleteConflictException", delete, certificateId=leaf.id)
    expect_error("DeleteConflictException", delete, certificateId=leaf.id, forceDelete=True)
    core.iot.detach_thing_principal(thingName=thing, principal=arn)
    eventually(
        lambda: not core.iot.list_thing_principals(thingName=thing)["principals"], "detached"
    )
    expect_error("DeleteConflictException", delete, certificateId=leaf.id)
    delete(certificateId=leaf.id, forceDelete=True)
    expect_error("ResourceNotFoundException", delete, certificateId=leaf.id)
    targets = core.iot.list_targets_for_policy(policyName=POLICY)["targets"]
    assert arn not in targets, "the policy still hangs on a deleted certificate"


@case
def an_unknown_certificate_is_not_found(core):
    expect_error("ResourceNotFoundException", core.iot.describe_certificate, certificateId=NOWHERE)
    expect_error(
        "ResourceNotFoundException",
        core.iot.update_certificate,
        certificateId=NOWHERE,
        newStatus="ACTIVE",
    )


@case
def an_id_that_is_no_id_is_an_invalid_request(core):
    lenient = core.client(parameter_validation=False)
    expect_error("InvalidRequestException", lenient.describe_certificate, certificateId="xyz")
