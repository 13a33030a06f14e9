"""Runs moto's own tests of iot and iot-data against the local core, and compares with what is agreed.

A test that fails must be in moto_tests.toml with the reason: it contradicts the model or AWS's
documents, or it needs operations the core lacks. One that is listed and passes is out of date.
Where only the input of tests is nothing AWS takes, it is corrected before they run.
"""

import collections
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree
from pathlib import Path

import servers

HERE = Path(__file__).parent
MINUTES = 10


def run(tree, logs):
    """Runs the tests; hands on their outcomes and what the model found wrong, by test."""
    results, findings = logs / "moto-tests.xml", logs / "moto-findings.jsonl"
    findings.write_text("")
    with servers.running("iot-local", logs) as url:
        command = [sys.executable, "-m", "pytest", "--quiet", "-p", "moto_plugin", "-p", "no:cacheprovider"]
        # moto's tests of its own HTTP server and of CloudFormation are no tests of AWS IoT.
        for left_out in ("test_iot/test_server.py", "test_iotdata/test_server.py", "test_iot/test_iot_cloudformation.py"):
            command += ["--ignore", f"tests/{left_out}"]
        command += [f"--junit-xml={results}", "tests/test_iot", "tests/test_iotdata"]
        environment = {
            **os.environ,
            "IOT_ENDPOINT": url,
            "FINDINGS": str(findings),
            "PYTHONPATH": str(HERE),
        }
        with open(logs / "moto-tests.log", "wb") as log:
            subprocess.run(
                command, cwd=tree, env=environment, stdout=log, stderr=log, timeout=MINUTES * 60
            )
    outcomes = {}
    for case in xml.etree.ElementTree.parse(results).iter("testcase"):
        name = f"{case.get('classname').split('.')[-1]}::{case.get('name')}"
        failure = next((child for child in case if child.tag in ("failure", "error")), None)
        if failure is not None:
            outcomes[name] = ("failed", failure.get("message") or failure.text or "")
        elif case.find("skipped") is not None:
            outcomes[name] = ("skipped", "")
        else:
            outcomes[name] = ("passed", "")
    found = collections.defaultdict(set)
    for line in findings.read_text().splitlines():
        finding = json.loads(line)
        found[finding["test"]].add(finding["finding"])
    return outcomes, found


def corrected(tree, copy, corrections):
    """A copy of moto's tests with the agreed corrections; hands on those that corrected nothing."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(tree, copy)
    idle = []
    for correction in corrections:
        count = 0
        for path in sorted(copy.glob(f"tests/{correction['files']}")):
            text, changes = re.subn(correction["old"], correction["new"], path.read_text())
            count += changes
            path.write_text(text)
        if count == 0:
            idle.append(correction["old"])
    return idle


def main():
    logs = Path(os.environ["LOGS"])
    agreed = tomllib.loads((HERE / "moto_tests.toml").read_text())
    tree = logs / "moto-tests"
    idle = corrected(Path(os.environ["MOTO_TREE"]), tree, agreed["correction"])
    outcomes, found = run(tree, logs)
    lacking = {pattern: entry["lacks"] for entry in agreed["lacking"] for pattern in entry["tests"]}
    reasons = {pattern: entry["why"] for entry in agreed["contradicting"] for pattern in entry["tests"]}
    used, counts, failed = set(), collections.Counter(), bool(idle)
    for old in idle:
        print(f"FAIL moto_tests.toml: nothing to correct: {old}")

    def listed(table, name):
        pattern = next((pattern for pattern in table if fnmatch.fnmatchcase(name, pattern)), None)
        used.add(pattern)
        return pattern is not None

    for name, (outcome, message) in outcomes.items():
        refused_as_lacking = "NotImplementedException" in message
        if outcome == "failed" and listed(reasons, name):
            outcome, line = "contradicting", None
        elif outcome == "failed" and refused_as_lacking and listed(lacking, name):
            outcome, line = "lacking", f"skip moto's {name}"
        elif outcome == "failed":
            line = f"FAIL moto's {name}: {' '.join(message.split())[:300]}"
        elif outcome == "passed" and (listed(reasons, name) or listed(lacking, name)):
            line = f"FAIL moto's {name}: listed as failing, and passes"
        else:
            line = f"{'ok  ' if outcome == 'passed' else 'skip'} moto's {name}"
        counts[outcome] += 1
        failed = failed or bool(line and line.startswith("FAIL"))
        if line:
            print(line)
    for test, findings in found.items():
        # How the core says that it lacks an operation is no model's business.
        findings = {finding for finding in findings if "NotImplementedException" not in finding}
        if not findings:
            continue
        print(f"FAIL the model on answers to {test}: {'; '.join(sorted(findings))}")
        failed = True
    for pattern in sorted((reasons.keys() | lacking.keys()) - used):
        print(f"FAIL moto_tests.toml: no test is called {pattern}")
        failed = True
    if dict(counts) != agreed["expected"]:
        print(f"FAIL moto's tests: expected {agreed['expected']}, got {dict(counts)}")
        failed = True
    else:
        print("ok   moto's tests: as many of each outcome as agreed")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
