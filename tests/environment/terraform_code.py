"""Judges etc/terraform/ by Terraform itself: format, init, validate, the modules' own tests, and planted mistakes.

terraform_code.py MIRROR_CONFIGURATION TERRAFORM...

Works on a copy, so that nothing is left beside the files. The provider is provider.py, found through the mirror that
the configuration names.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cases import Cases

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(os.environ.get("BIN", ROOT / "bin"))
COPIED = ("etc/terraform", "etc/templates", "policies", "tests/golden")
INPUTS = ("name=fleet", "region=eu-central-1", "account=123456789012")
# What is planted in the copy: file, what stands there, what is put there, and what Terraform must say of it.
MISTAKES = (
    ("misspelt argument", "template.tf", "template_body ", "template_boddy ", 'named "template_boddy" is not expected'),
    ("misspelt argument in a block", "template.tf", "payload_version", "payload_versoin", '"payload_versoin"'),
    ("misspelt block", "template.tf", "pre_provisioning_hook {", "pre_provisioning_hok {", '"pre_provisioning_hok"'),
    ("missing argument", "role.tf", "  policy_arn = local.registration\n", "", '"policy_arn" is required'),
    ("unknown resource", "events.tf", '"aws_iot_event_configurations"', '"aws_iot_event_configuration"', "Invalid resource type"),
    ("reference to nothing", "claim.tf", "aws_iot_policy.claim.name", "aws_iot_policy.clam.name", "undeclared resource"),
    ("value of the wrong type", "claim.tf", "= true", "= [true]", "bool required"),
    ("document that is no JSON", "device.tf", 'local.documents["device-policy"]', '"{"', "policy is not JSON"),
)


def main():
    configuration, *terraform = sys.argv[1:]
    cases = Cases()
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder), configuration, terraform)
        cases.note(copy.run("etc/terraform", "version").stdout.splitlines()[0])
        judge_modules(cases, copy)
        judge_documents(cases, copy)
        for mistake in MISTAKES:
            judge_mistake(cases, copy, *mistake)
    cases.end()


class Copy:
    """The files in a folder of their own, and Terraform at work on them."""

    def __init__(self, folder, configuration, terraform):
        self.folder, self.terraform = folder, terraform
        for name in COPIED:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
        self.variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("TF_", "AWS_"))},
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": configuration,
            "TF_IN_AUTOMATION": "1",
        }

    def run(self, module, *words):
        return subprocess.run(
            [*self.terraform, *words],
            cwd=self.folder / module,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )


def judge_modules(cases, copy):
    formatted = copy.run("etc/terraform", "fmt", "-check", "-recursive")
    cases.case("terraform fmt", formatted.returncode == 0, formatted.stdout + formatted.stderr)
    for module in ("etc/terraform/documents", "etc/terraform"):
        for words in (("init", "-no-color", "-input=false"), ("validate", "-no-color")):
            done = copy.run(module, *words)
            cases.case(f"{module}: terraform {words[0]}", done.returncode == 0, done.stdout + done.stderr)
        tested = copy.run(module, "test", "-no-color")
        for line in tested.stdout.splitlines():
            if line.startswith("  run "):
                name, _, verdict = line.partition("...")
                cases.case(f"{module}: {name.split(chr(34))[1]}", verdict.strip() == "pass", tested.stderr)
        cases.case(f"{module}: terraform test", tested.returncode == 0, tested.stdout + tested.stderr)


def judge_documents(cases, copy):
    """The module without a provider is really applied, and our own lint judges what comes out."""
    words = [word for value in INPUTS for word in ("-var", value)]
    module = "etc/terraform/documents"
    applied = copy.run(module, "apply", "-no-color", "-auto-approve", "-input=false", *words)
    told = copy.run(module, "output", "-json", "documents")
    if not cases.case(f"{module}: terraform apply", applied.returncode == 0, applied.stderr + told.stderr):
        return
    documents = json.loads(told.stdout)
    for name, *options in (["device-policy"], ["claim-policy"], ["template", "--sends", "License"]):
        file = copy.folder / f"{name}.json"
        file.write_text(documents[name])
        judged = subprocess.run(
            [PROGRAMS / "template", "lint", file, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        cases.case(f"template lint finds nothing in {name}.json", judged.returncode == 0, judged.stdout + judged.stderr)


def judge_mistake(cases, copy, what, name, stands, planted, expected):
    file = copy.folder / "etc/terraform" / name
    whole = file.read_text()
    if not cases.case(f"{what}: {name} has {stands.strip()}", stands in whole):
        return
    file.write_text(whole.replace(stands, planted, 1))
    refused = copy.run("etc/terraform", "validate", "-no-color")
    file.write_text(whole)
    # Terraform breaks its lines where they become long.
    said = " ".join((refused.stdout + refused.stderr).split())
    cases.case(f"{what}: refused", refused.returncode == 1 and expected in said, said)


main()
