"""Judges fleet provisioning: the AWS IoT Device SDK for Python v2 provisions itself with a claim, over MQTT 5 and 3.1.1."""

import functools
import io
import json
import platform
import queue
import threading
import zipfile

import boto3
from awscrt import mqtt, mqtt5
from awsiot import iotidentity, mqtt5_client_builder, mqtt_connection_builder
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab import EVERYTHING, ROLE, Core, case, expect_error, judge, unique

SECONDS = 20
TEMPLATE = "Fleet"


def body(**more):
    return json.dumps(
        {
            "Parameters": {"Serial": {"Type": "String"}},
            "Resources": {
                "thing": {
                    "Type": "AWS::IoT::Thing",
                    "Properties": {"ThingName": {"Fn::Join": ["-", ["pump", {"Ref": "Serial"}]]}},
                },
                "certificate": {
                    "Type": "AWS::IoT::Certificate",
                    "Properties": {
                        "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"},
                        "Status": "Active",
                    },
                },
                "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "Everything"}},
            },
            "DeviceConfiguration": {"Serial": {"Ref": "Serial"}},
            **more,
        }
    )


def make_template(core, name, **more):
    core.allow("Everything", EVERYTHING)
    core.iot.create_provisioning_template(
        templateName=name,
        templateBody=body(),
        provisioningRoleArn=ROLE,
        enabled=True,
        **more,
    )
    return name


@functools.cache
def prepared():
    """The template, and the claim certificate with a policy for its topics alone."""
    core = Core()
    make_template(core, TEMPLATE)
    paths = ["certificates/create/*", "certificates/create-from-csr/*"]
    paths.append(f"provisioning-templates/{TEMPLATE}/provision/*")
    paths.append("provisioning-templates/Hook*/provision/*")
    arn = "arn:aws:iot:*:*"
    topics = [f"{arn}:topic/$aws/{path}" for path in paths]
    core.allow(
        "Claim",
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
        {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": topics},
        {
            "Effect": "Allow",
            "Action": "iot:Subscribe",
            "Resource": [f"{arn}:topicfilter/$aws/{path}" for path in paths],
        },
    )
    claim = core.iot.create_keys_and_certificate(setAsActive=True)
    core.iot.attach_policy(policyName="Claim", target=claim["certificateArn"])
    return claim["certificatePem"], claim["keyPair"]["PrivateKey"]


class Device:
    """A connection of the SDK in either version, with its identity client. A context manager."""

    def __init__(self, core, version, credentials, client_id=None):
        certificate, key = (part.encode() for part in credentials)
        self.closed = threading.Event()
        options = {
            "endpoint": core.host,
            "port": core.port,
            "ca_filepath": core.cafile,
            "cert_bytes": certificate,
            "pri_key_bytes": key,
        }
        self.version, name = version, client_id or unique("claimer")
        if version == 5:
            self.connected, self.stopped = threading.Event(), threading.Event()
            self.client = mqtt5_client_builder.mtls_from_bytes(
                **options,
                connect_options=mqtt5.ConnectPacket(client_id=name, keep_alive_interval_sec=30),
                on_lifecycle_connection_success=lambda _: self.connected.set(),
                on_lifecycle_disconnection=lambda _: self.closed.set(),
                on_lifecycle_stopped=lambda _: self.stopped.set(),
            )
        else:
            self.client = mqtt_connection_builder.mtls_from_bytes(
                **options,
                client_id=name,
                clean_session=True,
                keep_alive_secs=30,
                on_connection_interrupted=lambda **_: self.closed.set(),
            )

    def __enter__(self):
        if self.version == 5:
            self.client.start()
            assert self.connected.wait(SECONDS), "never connected"
        else:
            self.client.connect().result(SECONDS)
        self.identity = iotidentity.IotIdentityClient(self.client)
        return self

    def __exit__(self, *_):
        if self.version == 5:
            self.client.stop()
            self.stopped.wait(SECONDS)
        else:
            self.client.disconnect().result(SECONDS)

    def ask(self, operation, request, subscription):
        """Subscribes to both answers of an operation, asks, and hands on the one that came."""
        answers, qos = queue.Queue(), mqtt.QoS.AT_LEAST_ONCE
        for ending in ("accepted", "rejected"):
            subscribe = getattr(self.identity, f"subscribe_to_{operation}_{ending}")
            subscribe(subscription, qos, answers.put)[0].result(SECONDS)
        getattr(self.identity, f"publish_{operation}")(request, qos).result(SECONDS)
        return answers.get(timeout=SECONDS)

    def keys(self):
        answer = self.ask(
            "create_keys_and_certificate",
            iotidentity.CreateKeysAndCertificateRequest(),
            iotidentity.CreateKeysAndCertificateSubscriptionRequest(),
        )
        return answer, answer.private_key

    def from_request(self):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pump")])
        request = x509.CertificateSigningRequestBuilder().subject_name(name)
        pem = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
        answer = self.ask(
            "create_certificate_from_csr",
            iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request=pem),
            iotidentity.CreateCertificateFromCsrSubscriptionRequest(),
        )
        form = serialization.PrivateFormat.TraditionalOpenSSL
        plain = serialization.NoEncryption()
        return answer, key.private_bytes(serialization.Encoding.PEM, form, plain).decode()

    def register(self, token, template=TEMPLATE, **parameters):
        return self.ask(
            "register_thing",
            iotidentity.RegisterThingRequest(
                template_name=template,
                certificate_ownership_token=token,
                parameters=parameters,
            ),
            iotidentity.RegisterThingSubscriptionRequest(template_name=template),
        )


def provisions_itself(core, version, path, claim=None):
    serial = unique("s")
    with Device(core, version, claim or prepared()) as device:
        made, key = path(device)
        assert core.certificate_status(made.certificate_id) == "PENDING_ACTIVATION"
        told = device.register(made.certificate_ownership_token, Serial=serial)
        assert isinstance(told, iotidentity.RegisterThingResponse), vars(told)
        assert told.thing_name == f"pump-{serial}"
        assert told.device_configuration == {"Serial": serial}
    assert core.certificate_status(made.certificate_id) == "ACTIVE"
    with Device(core, version, (made.certificate_pem, key), told.thing_name):
        pass


@case
def MQTT_5_a_device_provisions_itself_with_a_key_of_AWS(core):
    provisions_itself(core, 5, Device.keys)


@case
def MQTT_5_a_device_provisions_itself_with_a_key_of_its_own(core):
    provisions_itself(core, 5, Device.from_request)


@case
def MQTT_3_a_device_provisions_itself_with_a_key_of_AWS(core):
    provisions_itself(core, 3, Device.keys)


@case
def MQTT_3_a_device_provisions_itself_with_a_key_of_its_own(core):
    provisions_itself(core, 3, Device.from_request)


@case
def a_trusted_users_claim_provisions_by_its_template_and_is_not_listed(core):
    claim = core.iot.create_provisioning_claim(templateName=TEMPLATE)
    assert claim["certificateId"] not in core.certificate_ids()
    credentials = claim["certificatePem"], claim["keyPair"]["PrivateKey"]
    provisions_itself(core, 5, Device.from_request, credentials)
    other = make_template(core, unique("Other"))
    with Device(core, 3, credentials) as device:
        device.client.publish(
            f"$aws/provisioning-templates/{other}/provision/json", "{}", mqtt.QoS.AT_LEAST_ONCE
        )
        assert device.closed.wait(SECONDS), "it may use another template"


@case
def a_missing_parameter_and_a_token_used_twice_are_rejected_by_name(core):
    with Device(core, 5, prepared()) as device:
        made, _ = device.from_request()
        token = made.certificate_ownership_token
        told = device.register(token)
        assert (told.status_code, told.error_code) == (400, "InvalidParameters"), vars(told)
        assert "Serial" in told.error_message
        assert device.register(token, Serial=unique("s")).thing_name
        told = device.register(token, Serial=unique("s"))
        assert told.error_code == "InvalidCertificateOwnershipToken"
        told = device.register("", Serial="1")
        assert told.error_message == "Certificate ownership token cannot be empty."


@case
def a_claim_that_tries_anything_but_its_topics_is_closed(core):
    for topic in ("pump", "$aws/things/pump/shadow/update", "$aws/certificates/create/json/accepted"):
        with Device(core, 3, prepared()) as device:
            device.client.publish(topic, "{}", mqtt.QoS.AT_LEAST_ONCE)
            assert device.closed.wait(SECONDS), f"it may publish on {topic}"
    for topic in ("#", "$aws/things/+/shadow/#"):
        with Device(core, 3, prepared()) as device:
            device.client.subscribe(topic, mqtt.QoS.AT_LEAST_ONCE, lambda **_: None)
            assert device.closed.wait(SECONDS), f"it may subscribe to {topic}"


@case
def nobody_else_hears_the_answers(core):
    heard = queue.Queue()
    with Device(core, 3, prepared()) as eavesdropper, Device(core, 3, prepared()) as device:
        done, _ = eavesdropper.client.subscribe(
            "$aws/certificates/create-from-csr/#",
            mqtt.QoS.AT_LEAST_ONCE,
            lambda **message: heard.put(message),
        )
        done.result(SECONDS)
        device.from_request()
        assert heard.empty()


# Hooks, made by the Lambda API

HOOK = r"""#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while :; do
  headers=$(mktemp)
  payload=$(curl -sS -D "$headers" "$api/invocation/next") || exit 3
  id=$(tr -d '\r' <"$headers" | sed -n 's/^lambda-runtime-aws-request-id: //p')
  rm -f "$headers"
  case $payload in
    *crash*) exit 1 ;;
    *nonsense*) answer='of course' ;;
    *"$GOOD"*) answer='{"allowProvisioning":true,"parameterOverrides":{"Serial":"by-hook"}}' ;;
    *) answer='{"allowProvisioning":false}' ;;
  esac
  curl -sS -o /dev/null -d "$answer" "$api/invocation/$id/response"
done
"""


def zipped(program):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o100755 << 16
        archive.writestr(entry, program)
    return packed.getvalue()


@case
def a_hook_made_by_the_Lambda_API_needs_a_permission_and_decides(core):
    functions = core.client("lambda")
    name = unique("hook")
    architecture = "arm64" if platform.machine() == "aarch64" else "x86_64"
    made = functions.create_function(
        FunctionName=name,
        Runtime="provided.al2023",
        Handler="bootstrap",
        Role="arn:aws:iam::123456789012:role/hook",
        Code={"ZipFile": zipped(HOOK)},
        Architectures=[architecture],
        Environment={"Variables": {"GOOD": "licence-1"}},
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    template = make_template(
        core, unique("Hook"), preProvisioningHook={"targetArn": made["FunctionArn"]}
    )
    with Device(core, 5, prepared()) as device:
        credentials, _ = device.from_request()
        token = credentials.certificate_ownership_token

        def verdict(licence):
            return device.register(token, template, Serial="s", License=licence)

        def is_denied(licence, cause):
            told = verdict(licence)
            assert (told.status_code, told.error_code) == (403, "ACCESS_DENIED"), vars(told)
            entries = [entry for entry in core.diary() if entry["code"] == "FLEET_HOOK_DENIED"]
            assert cause in entries[-1]["sentence"], entries[-1]

        is_denied("licence-1", "add-permission")
        functions.add_permission(
            FunctionName=name,
            StatementId="iot",
            Action="lambda:InvokeFunction",
            Principal="iot.amazonaws.com",
            SourceAccount="123456789012",
            SourceArn=f"arn:aws:iot:{core.iot.meta.region_name}:123456789012:provisioningtemplate/{template}",
        )
        assert "iot.amazonaws.com" in functions.get_policy(FunctionName=name)["Policy"]
        is_denied("licence-2", "allowProvisioning false")
        is_denied("crash", "exit status: 1")
        is_denied("nonsense", "nonsense")
        assert verdict("licence-1").thing_name == "pump-by-hook"
    functions.update_function_configuration(
        FunctionName=name, Environment={"Variables": {"GOOD": "licence-2"}}
    )
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    # The judge of answers reads them, and a function's own can be read once.
    plain = boto3.client("lambda")
    asked = plain.invoke(FunctionName=name, Payload=b'{"l":"licence-2"}')
    assert json.loads(asked["Payload"].read())["allowProvisioning"] is True
    assert "FunctionError" not in asked
    asked = plain.invoke(FunctionName=name, Payload=b'"crash"')
    assert asked["FunctionError"] == "Unhandled"
    functions.remove_permission(FunctionName=name, StatementId="iot")
    expect_error("ResourceNotFoundException", functions.get_policy, FunctionName=name)
    functions.delete_function(FunctionName=name)
    expect_error("ResourceNotFoundException", functions.get_function, FunctionName=name)


@case
def the_Lambda_API_refuses_what_cannot_be_run(core):
    functions = core.client("lambda")
    plain = {
        "FunctionName": unique("f"),
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        "Role": "arn:aws:iam::123456789012:role/hook",
        "Code": {"ZipFile": zipped("#!/bin/sh\n")},
    }
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    for change in (
        {"Runtime": "python3.13"},
        {"Code": {"ZipFile": b"no zip"}},
        {"Code": {"ZipFile": empty.getvalue()}},
        {"Code": {"S3Bucket": "bucket", "S3Key": "key"}},
    ):
        expect_error(
            "InvalidParameterValueException", functions.create_function, **{**plain, **change}
        )
    functions.create_function(**plain)
    expect_error("ResourceConflictException", functions.create_function, **plain)
    listed = functions.list_functions()["Functions"]
    assert plain["FunctionName"] in [function["FunctionName"] for function in listed]


judge(Core())
