"""A provider for Terraform (plugin protocol 6) that knows a schema and nothing else: provider.py SCHEMA_FILE

Terraform's validate, and its test with mock_provider, ask a provider for no more. It cannot plan or apply.
"""

import base64
import json
import os
import pathlib
import sys
import tempfile
from concurrent import futures

import grpc
import msgpack
from tf.gen import (
    grpc_controller_pb2_grpc,
    grpc_stdio_pb2_grpc,
    tfplugin_pb2 as messages,
    tfplugin_pb2_grpc,
)
from tf.runner import _self_signed_cert

NESTING = messages.Schema.NestedBlock.NestingMode
UNKNOWN = object()
# Arguments that hold JSON.
DOCUMENTS = {
    "aws_iam_role": "assume_role_policy",
    "aws_iam_role_policy": "policy",
    "aws_iot_policy": "policy",
    "aws_iot_provisioning_template": "template_body",
}


def main():
    schema = json.loads(pathlib.Path(sys.argv[1]).read_text())
    certificate, credentials = _self_signed_cert()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    tfplugin_pb2_grpc.add_ProviderServicer_to_server(Provider(schema), server)
    grpc_controller_pb2_grpc.add_GRPCControllerServicer_to_server(Controller(), server)
    grpc_stdio_pb2_grpc.add_GRPCStdioServicer_to_server(Streams(), server)
    with tempfile.TemporaryDirectory() as folder:
        server.add_secure_port(f"unix://{folder}/socket", credentials)
        server.start()
        encoded = base64.b64encode(certificate).decode().rstrip("=")
        print(f"1|6|unix|{folder}/socket|grpc|{encoded}", flush=True)
        server.wait_for_termination()


class Provider(tfplugin_pb2_grpc.ProviderServicer):
    def __init__(self, schema):
        self.resources = {name: described(block) for name, block in schema["resources"].items()}
        self.data = {name: described(block) for name, block in schema["data"].items()}

    def GetMetadata(self, request, context):
        answer = messages.GetMetadata
        return answer.Response(
            resources=[answer.ResourceMetadata(type_name=name) for name in self.resources],
            data_sources=[answer.DataSourceMetadata(type_name=name) for name in self.data],
        )

    def GetProviderSchema(self, request, context):
        region = messages.Schema.Attribute(name="region", type=b'"string"', optional=True)
        return messages.GetProviderSchema.Response(
            provider=messages.Schema(block=messages.Schema.Block(attributes=[region])),
            resource_schemas=self.resources,
            data_source_schemas=self.data,
        )

    def ValidateProviderConfig(self, request, context):
        return messages.ValidateProviderConfig.Response()

    def ValidateDataResourceConfig(self, request, context):
        return messages.ValidateDataResourceConfig.Response()

    def ValidateResourceConfig(self, request, context):
        values = msgpack.unpackb(request.config.msgpack, ext_hook=lambda code, data: UNKNOWN)
        name = DOCUMENTS.get(request.type_name)
        text = values.get(name)
        refused = []
        try:
            if isinstance(text, str):
                json.loads(text)
        except ValueError as error:
            summary = f"{name} is not JSON"
            refused = [messages.Diagnostic(severity=messages.Diagnostic.ERROR, summary=summary, detail=str(error))]
        return messages.ValidateResourceConfig.Response(diagnostics=refused)

    def ConfigureProvider(self, request, context):
        return messages.ConfigureProvider.Response()

    def GetFunctions(self, request, context):
        return messages.GetFunctions.Response()

    def StopProvider(self, request, context):
        return messages.StopProvider.Response()


class Controller(grpc_controller_pb2_grpc.GRPCControllerServicer):
    def Shutdown(self, request, context):
        os._exit(0)


class Streams(grpc_stdio_pb2_grpc.GRPCStdioServicer):
    def StreamStdio(self, request, context):
        return iter([])


def described(block):
    return messages.Schema(block=described_block(block))


def described_block(block):
    return messages.Schema.Block(
        attributes=[attribute(name, of) for name, of in block["attributes"].items()],
        block_types=[nested(name, of) for name, of in block["blocks"].items()],
    )


def attribute(name, of):
    required, computed = of.get("required", False), of.get("computed", False)
    return messages.Schema.Attribute(
        name=name,
        type=json.dumps(of["type"]).encode(),
        required=required,
        optional=not required and not computed,
        # Which of the optional ones the provider computes cannot be read anywhere.
        computed=not required,
    )


def nested(name, of):
    kinds = {"list": NESTING.LIST, "set": NESTING.SET, "single": NESTING.SINGLE}
    single = of["nesting"] == "single"
    return messages.Schema.NestedBlock(
        type_name=name,
        nesting=kinds[of["nesting"]],
        min_items=1 if of["required"] and not single else 0,
        max_items=1 if not of["many"] and not single else 0,
        block=described_block(of["block"]),
    )


main()
