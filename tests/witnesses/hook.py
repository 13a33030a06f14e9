"""The pre-provisioning hook with its allow list in a DynamoDB table, which is moto's.

The executable is started as Lambda starts it: it asks the Runtime API for its next event. Conflicts of transactions,
which moto has none of, are put between by a proxy that answers as DynamoDB's API reference says.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3

import servers

TABLE = "allow"
PATIENCE = 30
CONFLICT = {
    "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
    "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons "
    "[None, TransactionConflict]",
    "CancellationReasons": [
        {"Code": "None"},
        {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"},
    ],
}


@contextmanager
def serving(handler):
    """An HTTP server on a free port while the block runs; hands on its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))


class Function:
    """One process of the hook, which is asked one thing at a time."""

    def __init__(self, executable, environment, log):
        self.events, self.answers = queue.Queue(), queue.Queue()
        function = self

        class Runtime(Quiet):
            def do_GET(self):
                event = function.events.get()
                if event is None:
                    self.close_connection = True
                    return
                self.answer(
                    200,
                    json.dumps(event).encode(),
                    [
                        ("Content-Type", "application/json"),
                        ("Lambda-Runtime-Aws-Request-Id", str(uuid.uuid4())),
                        ("Lambda-Runtime-Deadline-Ms", "4102444800000"),
                        (
                            "Lambda-Runtime-Invoked-Function-Arn",
                            "arn:aws:lambda:us-east-1:123456789012:function:hook",
                        ),
                    ],
                )

            def do_POST(self):
                answer = json.loads(self.body())
                self.answer(202, b"{}")
                function.answers.put((self.path.rsplit("/", 1)[-1], answer))

        self.stack = ExitStack()
        address = self.stack.enter_context(serving(Runtime))
        self.process = subprocess.Popen(
            [executable],
            env={
                "PATH": os.environ["PATH"],
                "AWS_LAMBDA_RUNTIME_API": address,
                "AWS_LAMBDA_FUNCTION_NAME": "hook",
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
                "AWS_REGION": servers.REGION,
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, certificate, claim="claim", **parameters):
        """What the hook answers, and the reason that it logs."""
        self.events.put(
            {
                "claimCertificateId": claim,
                "certificateId": certificate,
                "certificatePem": "-----BEGIN CERTIFICATE-----",
                "templateArn": "arn:aws:iot:us-east-1:123456789012:provisioningtemplate/fleet",
                "clientId": "claim-1",
                "parameters": parameters,
            }
        )
        kind, answer = self.answers.get(timeout=PATIENCE)
        assert kind == "response", answer
        logged = json.loads(self.process.stderr.readline())
        assert (logged["decision"] == "allow") == answer["allowProvisioning"], logged
        return answer["allowProvisioning"], logged["reason"], answer["parameterOverrides"]

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)
        self.process.stderr.close()
        self.events.put(None)
        self.stack.close()


def conflicting(upstream, conflicts):
    """A way to DynamoDB on which so many transactions conflict; the list counts down."""

    class Proxy(Quiet):
        def do_POST(self):
            body, target = self.body(), self.headers["X-Amz-Target"]
            if target.endswith("TransactWriteItems") and conflicts[0] > 0:
                conflicts[0] -= 1
                answer = json.dumps(CONFLICT).encode()
                return self.answer(400, answer, [("Content-Type", "application/x-amz-json-1.0")])
            kept = ("content-type", "x-amz-target", "authorization", "x-amz-date")
            headers = {name: value for name, value in self.headers.items() if name.lower() in kept}
            request = urllib.request.Request(upstream, body, headers, method="POST")
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as answered:
                    status, told, answer = answered.status, answered.headers, answered.read()
            except urllib.error.HTTPError as error:
                status, told, answer = error.code, error.headers, error.read()
            passed = ("content-type", "x-amz-crc32")
            kept = [(name, value) for name, value in told.items() if name.lower() in passed]
            return self.answer(status, answer, kept)

    return Proxy


class Table:
    """A fresh table with some devices, and hooks that read it."""

    def __init__(self, url, executable, log):
        self.url, self.executable, self.log = url, executable, log
        self.client = boto3.client(
            "dynamodb",
            endpoint_url=url,
            region_name=servers.REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        if TABLE in self.client.list_tables()["TableNames"]:
            self.client.delete_table(TableName=TABLE)
        self.client.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "device", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "device", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        for device in ("1", "2", "3"):
            self.client.put_item(TableName=TABLE, Item={"device": {"S": device}})
        overrides = {"M": {"Site": {"S": "north"}}}
        self.client.put_item(
            TableName=TABLE, Item={"device": {"S": "sited"}, "overrides": overrides}
        )

    def item(self, device):
        found = self.client.get_item(TableName=TABLE, Key={"device": {"S": device}})
        return {name: next(iter(value.values())) for name, value in found.get("Item", {}).items()}

    @contextmanager
    def hook(self, url=None, **environment):
        settings = {"ALLOW_TABLE": TABLE, "AWS_ENDPOINT_URL_DYNAMODB": url or self.url}
        function = Function(self.executable, {**settings, **environment}, self.log)
        try:
            yield function
        finally:
            function.close()


def a_device_that_is_not_in_the_table_stays_out(table):
    with table.hook() as hook:
        assert hook.ask("c1", License="9") == (False, "not-listed", {})
        assert hook.ask("c1") == (False, "parameter-missing", {})
        assert hook.ask("c1", License="1", Policy="x") == (False, "parameter-not-allowed", {})
    assert table.item("9") == {} and table.item("1") == {"device": "1"}


def a_device_in_the_table_claims_its_place_once(table):
    with table.hook() as hook:
        assert hook.ask("c1", License="1") == (True, "listed", {})
        item = table.item("1")
        assert (item["certificateId"], item["claimCertificateId"]) == ("c1", "claim"), item
        assert item["claimedAt"].endswith("Z"), item
        assert hook.ask("c1", License="1") == (True, "listed-again", {})
        assert hook.ask("c2", License="1") == (False, "claimed", {})
        assert table.item("1") == item


def a_device_renews_with_the_certificate_it_has(table):
    with table.hook() as hook:
        hook.ask("c1", License="1")
        assert hook.ask("c2", claim="c1", License="1") == (True, "renewal", {})
        assert table.item("1")["certificateId"] == "c2"
        assert hook.ask("c3", claim="c1", License="1") == (False, "claimed", {})


def the_table_tells_the_template_more(table):
    with table.hook(FREE_PARAMETERS="Firmware, Colour", ALLOW_KEY="Serial") as hook:
        allowed = hook.ask("c1", Serial="sited", Firmware="7")
        assert allowed == (True, "listed", {"Site": "north"}), allowed


def a_claim_certificate_brings_in_so_many_and_no_more(table):
    with table.hook(CLAIM_LIMIT="2") as hook:
        assert hook.ask("c1", License="1")[:2] == (True, "listed")
        assert hook.ask("c1", License="1")[:2] == (True, "listed-again")
        assert hook.ask("c2", License="2")[:2] == (True, "listed")
        assert hook.ask("c3", License="3")[:2] == (False, "claim-used-up")
        assert "certificateId" not in table.item("3")
        assert table.item("claim/claim")["devices"] == "2"
        assert hook.ask("c3", claim="other", License="3")[:2] == (True, "listed")
        # A counter is no device.
        assert hook.ask("c4", License="claim/claim")[:2] == (False, "not-listed")


def of_many_at_once_one_gets_in(table):
    with ExitStack() as stack:
        hooks = [stack.enter_context(table.hook()) for _ in range(4)]
        with ThreadPoolExecutor(len(hooks)) as pool:
            ask = lambda numbered: numbered[1].ask(f"c{numbered[0]}", License="1")
            answers = list(pool.map(ask, enumerate(hooks)))
    allowed = [number for number, answer in enumerate(answers) if answer[0]]
    assert len(allowed) == 1, answers
    assert table.item("1")["certificateId"] == f"c{allowed[0]}"


def conflicts_of_transactions_are_waited_out(table):
    conflicts = [3]
    with serving(conflicting(table.url, conflicts)) as address:
        with table.hook(f"http://{address}", CLAIM_LIMIT="5") as hook:
            assert hook.ask("c1", License="1")[:2] == (True, "listed")
            assert conflicts == [0]
            conflicts[0] = 10_000
            assert hook.ask("c2", License="2")[:2] == (False, "contended")
            assert "certificateId" not in table.item("2")
    assert table.item("claim/claim")["devices"] == "1"


def without_a_table_nobody_gets_in(table):
    with table.hook(ALLOW_TABLE="missing") as hook:
        assert hook.ask("c1", License="1") == (False, "no-list", {})
    with table.hook("http://127.0.0.1:1") as hook:
        assert hook.ask("c1", License="1") == (False, "no-list", {})
    with table.hook(CLAIM_LIMIT="many") as hook:
        assert hook.ask("c1", License="1") == (False, "no-list", {})


CASES = [
    a_device_that_is_not_in_the_table_stays_out,
    a_device_in_the_table_claims_its_place_once,
    a_device_renews_with_the_certificate_it_has,
    the_table_tells_the_template_more,
    a_claim_certificate_brings_in_so_many_and_no_more,
    of_many_at_once_one_gets_in,
    conflicts_of_transactions_are_waited_out,
    without_a_table_nobody_gets_in,
]


def main():
    executable, logs = sys.argv[1], Path(os.environ["LOGS"])
    failed = False
    with servers.running("moto", logs) as url, open(logs / "hook.log", "wb") as log:
        for case in CASES:
            name = case.__name__.replace("_", " ")
            try:
                case(Table(url, executable, log))
                print(f"ok {name}", flush=True)
            except Exception as error:  # whatever it is, the other cases are still worth running
                failed = True
                print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
