"""The schema of the AWS provider for Terraform, read out of the npm package @cdktf/provider-aws:

schema.py PACKAGE SCHEMA_FILE NAME...

PACKAGE is the unpacked package, NAME a folder under its lib/ (iot-policy, data-aws-region). The package's typings say
which arguments there are and which are required; its code says which of them are blocks, and their types. That an
attribute is computed is taken from the getters that no argument answers to.
"""

import json
import pathlib
import re
import sys

PLAIN = {"string": "string", "boolean": "bool", "number": "number"}
ENTRY = re.compile(
    r'(\w+): \{\s*value: ([^\n]+),\s*isBlock: (true|false),\s*type: "(\w+)",\s*storageClassType: "(\w+)",'
)


def main():
    package, target, *names = sys.argv[1:]
    schema = {"resources": {}, "data": {}}
    for name in names:
        folder = pathlib.Path(package, "lib", name)
        Module(folder).add_to(schema)
    pathlib.Path(target).write_text(json.dumps(schema, indent=1))


class Module:
    """One resource or data source of the package."""

    def __init__(self, folder):
        self.code = (folder / "index.js").read_text()
        self.typings = re.sub(r"/\*.*?\*/", "", (folder / "index.d.ts").read_text(), flags=re.S)

    def add_to(self, schema):
        terraform_type = found(r'tfResourceType = "(\w+)"', self.code)[1]
        declared = found(r"export declare class (\w+) extends cdktf.Terraform(Resource|DataSource)", self.typings)
        body = self.code[self.code.index("synthesizeHclAttributes() {") :]
        block = self.block(body[: body.index("\n    }\n")], declared[1] + "Config")
        self.add_computed(block, declared[1])
        schema["data" if declared[2] == "DataSource" else "resources"][terraform_type] = block

    def block(self, body, interface):
        arguments, block = self.arguments(interface), {"attributes": {}, "blocks": {}}
        for name, value, is_block, kind, storage in ENTRY.findall(body):
            required, many = arguments.get(name, (False, True))
            if is_block == "false":
                block["attributes"][name] = {"type": attribute_type(kind, storage), "required": required}
                continue
            function = found(r"(\w+)ToHclTerraform", value)[1]
            nested = found(rf"function {function}ToHclTerraform\(struct\) \{{(.*?)\n\}}", self.code)[1]
            block["blocks"][name] = {
                "nesting": {"set": "set", "struct": "single"}.get(kind, "list"),
                "required": required,
                "many": many,
                "block": self.block(nested, function[0].upper() + function[1:]),
            }
        return block

    def arguments(self, interface):
        """Whether each argument is required, and whether it may stand more than once."""
        declared = re.search(rf"export interface {interface}(?: extends [\w.]+)? \{{(.*?)\n\}}", self.typings, re.S)
        members = re.findall(r"readonly (\w+)(\??): ([^;]+);", declared[1]) if declared else []
        return {snake(name): (mark == "", "[]" in kind) for name, mark, kind in members}

    def add_computed(self, block, name):
        body = self.typings[self.typings.index(f"export declare class {name} ") :]
        for getter, kind in re.findall(r"\n    get (\w+)\(\): ([^;]+);", body):
            attribute = snake(getter)
            known = attribute.endswith("_input") or attribute in block["attributes"] or attribute in block["blocks"]
            if not known:
                block["attributes"][attribute] = {"type": getter_type(kind), "computed": True}


def attribute_type(kind, storage):
    if kind == "simple":
        return PLAIN[storage]
    element = re.match(r"(string|boolean|number)(Map|List|Set)?$", storage)
    return [kind, PLAIN[element[1]] if element else "dynamic"]


def getter_type(kind):
    if "StringMap" in kind:
        return ["map", "string"]
    if "IResolvable" in kind and "List" not in kind:
        return "bool"
    return {"string": "string", "number": "number", "string[]": ["list", "string"]}.get(kind, "dynamic")


def found(pattern, text):
    match = re.search(pattern, text, re.S)
    if not match:
        sys.exit(f"schema.py: the package is not as expected: no {pattern}")
    return match


def snake(name):
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


main()
