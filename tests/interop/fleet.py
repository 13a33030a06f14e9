"""Judges provisioning by claim with the identity client of the AWS IoT Device SDK for Python v2."""

import functools
import json
import tempfile
import threading
from pathlib import Path

from awscrt import mqtt5, mqtt_request_response
from awsiot import V2ServiceException, iotidentity, mqtt5_client_builder
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab import Core, Station, case, judge, unique

SECONDS = 15
ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = "fleet"


@functools.cache
def station():
    """A maker with a template and a claim, made by the toolkit's programs."""
    core = Core()
    policy = (ROOT / "policies/FleetDevice.json").read_text()
    policy = policy.replace("${TemplateName}", TEMPLATE)
    core.iot.create_policy(policyName="FleetDevice", policyDocument=policy)
    core.iot.create_thing_type(thingTypeName="Sensor")
    core.iot.create_thing_group(thingGroupName="Fleet")
    station = Station()
    names = ("PolicyName=FleetDevice", "ThingTypeName=Sensor", "ThingGroupName=Fleet")
    values = [part for name in names for part in ("--set", name)]
    body = str(ROOT / "etc/templates/fleet.json")
    station.run("template", "create", TEMPLATE, "--body", body, *values)
    station.run("create-claim", TEMPLATE)
    return station


class Client:
    """An MQTT 5 client of the SDK, connected. A context manager."""

    def __init__(self, core, client_id, certificate, key):
        self.connected, self.stopped, self.failures = threading.Event(), threading.Event(), []
        self.client = mqtt5_client_builder.mtls_from_path(
            endpoint=core.host,
            port=core.port,
            ca_filepath=core.cafile,
            cert_filepath=str(certificate),
            pri_key_filepath=str(key),
            connect_options=mqtt5.ConnectPacket(client_id=client_id, keep_alive_interval_sec=30),
            on_lifecycle_connection_success=lambda _: self.connected.set(),
            on_lifecycle_connection_failure=lambda data: self.failures.append(data.exception),
            on_lifecycle_stopped=lambda _: self.stopped.set(),
        )

    def __enter__(self):
        self.client.start()
        assert self.connected.wait(SECONDS), f"never connected: {self.failures[-1:]}"
        return self.client

    def __exit__(self, *_):
        self.client.stop()
        self.stopped.wait(SECONDS)


def claim(core):
    """A client with the claim, under a client id that its policy allows."""
    folder = station().path
    certificate, key = folder / f"{TEMPLATE}.claim.pem", folder / f"{TEMPLATE}.claim.key"
    return Client(core, unique("claim"), certificate, key)


def identity_client(client):
    options = mqtt_request_response.ClientOptions(
        max_request_response_subscriptions=4,
        max_streaming_subscriptions=2,
        operation_timeout_in_seconds=SECONDS,
    )
    return iotidentity.IotIdentityClientV2(client, options)


def register(identity, token, **parameters):
    request = iotidentity.RegisterThingRequest(
        template_name=TEMPLATE, certificate_ownership_token=token, parameters=parameters
    )
    return identity.register_thing(request).result(SECONDS)


def rejected(call):
    """The error that a call is rejected with."""
    try:
        call()
    except V2ServiceException as exception:
        return exception.modeled_error
    raise AssertionError("accepted")


def proves_itself(core, thing, certificate_pem, key_pem):
    """Connects with the new identity, and publishes where its policy lets it."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder) / "new.crt", Path(folder) / "new.key"
        certificate.write_text(certificate_pem)
        key.write_text(key_pem)
        with Client(core, thing, certificate, key) as client:
            packet = mqtt5.PublishPacket(
                topic=f"{thing}/telemetry", payload=b"{}", qos=mqtt5.QoS.AT_LEAST_ONCE
            )
            answer = client.publish(packet).result(SECONDS).puback
            assert answer.reason_code == mqtt5.PubackReasonCode.SUCCESS, answer.reason_code


@case
def keys_made_by_the_service_become_an_identity(core):
    license = unique("a")
    with claim(core) as client:
        identity = identity_client(client)
        request = iotidentity.CreateKeysAndCertificateRequest()
        made = identity.create_keys_and_certificate(request).result(SECONDS)
        done = register(identity, made.certificate_ownership_token, License=license)
    thing = f"iot-{license}"
    assert done.thing_name == thing, done.thing_name
    assert done.device_configuration == {"TelemetryTopic": f"{thing}/telemetry"}
    proves_itself(core, thing, made.certificate_pem, made.private_key)
    described = core.iot.describe_certificate(certificateId=made.certificate_id)
    assert described["certificateDescription"]["status"] == "ACTIVE"
    assert core.iot.describe_thing(thingName=thing)["thingTypeName"] == "Sensor"


@case
def a_key_that_never_leaves_the_device_becomes_one_too(core):
    license = unique("b")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, license)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem = csr.public_bytes(serialization.Encoding.PEM).decode()
    with claim(core) as client:
        identity = identity_client(client)
        request = iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request=pem)
        made = identity.create_certificate_from_csr(request).result(SECONDS)
        done = register(identity, made.certificate_ownership_token, License=license)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    proves_itself(core, done.thing_name, made.certificate_pem, private.decode())


@case
def what_is_wrong_is_told_by_code_and_message(core):
    with claim(core) as client:
        identity = identity_client(client)
        error = rejected(lambda: register(identity, "", License="1"))
        assert error.error_code == "InvalidCertificateOwnershipToken", error.error_code
        assert error.status_code == 400, error.status_code
        request = iotidentity.CreateKeysAndCertificateRequest()
        made = identity.create_keys_and_certificate(request).result(SECONDS)
        token = made.certificate_ownership_token
        error = rejected(lambda: register(identity, token))
        assert "License" in error.error_message, error.error_message
        # The refusal costs nothing: the same certificate, with what was missing.
        assert register(identity, token, License=unique("c")).thing_name


@case
def the_identity_of_fleet_provision_is_one_to_the_SDK(core):
    license = unique("d")
    thing = f"iot-{license}"
    arguments = [thing, "--template", TEMPLATE, "--parameter", f"License={license}"]
    done = station().run("fleet-provision", *arguments, "--output", "json")
    told = json.loads(done.stdout)
    folder = station().path
    certificate, key = folder / told["certificateFile"], folder / told["keyFile"]
    proves_itself(core, thing, certificate.read_text(), key.read_text())


judge(Core())
