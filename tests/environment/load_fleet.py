"""Judges what runs a load test on several machines: the stack of AWS Batch by cfn-lint, the jobs of Kubernetes by its
schema, and that both say the same number of parts wherever they say it."""

import subprocess
import tempfile
from pathlib import Path

import yaml
from cases import Cases
from ministack_server import BESIDE, REGION

ROOT = Path(__file__).resolve().parents[2]
STACK = ROOT / "etc/cloudformation/loadtest-batch.yaml"
JOBS = ROOT / "etc/kubernetes/loadtest.yaml"


def main():
    cases = Cases()
    judge(cases, STACK, "cfn-lint", "--regions", REGION, "--include-checks", "I", "--template")
    planted(cases, STACK, "ReadonlyRootFilesystem:", "cfn-lint", "--regions", REGION, "--template")
    judge(cases, JOBS, "kubernetes-validate", "--strict")
    planted(cases, JOBS, "completionMode:", "kubernetes-validate", "--strict")
    judge_parts(cases, list(yaml.safe_load_all(JOBS.read_text())))
    cases.end()


def judge(cases, file, tool, *options):
    told = run(tool, *options, file)
    cases.case(f"{file.name}: {tool} has nothing to say against it", told.returncode == 0, told.stdout + told.stderr)


def planted(cases, file, word, tool, *options):
    """A tool that says nothing of a misspelt word has not looked."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, file.name)
        copy.write_text(file.read_text().replace(word, f"{word[:-2]}:"))
        told = run(tool, *options, copy)
    text = told.stdout + told.stderr
    cases.case(f"{file.name}: {tool} finds a misspelt {word[:-1]}", told.returncode != 0 and word[:-2] in text, text)


def run(tool, *options):
    return subprocess.run([BESIDE / tool, *options], capture_output=True, text=True)


def judge_parts(cases, documents):
    jobs = {document["metadata"]["name"]: document for document in documents if document["kind"] == "Job"}
    spec = jobs["loadtest"]["spec"]
    [part] = spec["template"]["spec"]["containers"]
    counts = {spec["completions"], spec["parallelism"]} | {
        int(argument.split("=")[1]) for argument in part["args"] if argument.startswith("--shards=")
    }
    cases.case("all places say how many parts there are", len(counts) == 1 and counts != {1}, counts)
    volumes = {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
    mounts = {mount["name"] for mount in part["volumeMounts"]}
    cases.case("what is mounted is there, and what is there is mounted", volumes == mounts, (volumes, mounts))
    cases.case("the merge waits until it is told to begin", jobs["loadtest-merge"]["spec"]["suspend"] is True, jobs)


main()
