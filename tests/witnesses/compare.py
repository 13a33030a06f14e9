"""Plays a scenario against the local core and the witnesses, and compares what they observed.

`compare.py calls` plays the calls of scenario.py, `compare.py programs` runs the programs as programs.py tells.
Every difference must be in agreed/SCENARIO.toml with what the witness says and why we do not follow it; an
entry without a difference is out of date. With `--print` it prints entries to start from.
"""

import json
import os
import sys
import tomllib
from pathlib import Path

import boto3
import botocore.config

import programs
import scenario
import servers

HERE = Path(__file__).parent
WITNESSES = ("moto", "ministack")
STEPS = {
    "calls": [step.__name__.replace("_", " ") for step in scenario.STEPS],
    "programs": programs.STEPS,
}


def observe(which, name, logs):
    with servers.running(name, logs) as url:
        config = botocore.config.Config(
            retries={"total_max_attempts": 1}, read_timeout=30, parameter_validation=True
        )
        client = lambda service: boto3.client(
            service,
            endpoint_url=url,
            region_name=servers.REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=config,
        )
        if which == "programs":
            return programs.play(url, client("iot"))
        return scenario.play(client("iot"), client("iot-data"))


def lacks(answer):
    """Whether the server does not have an operation of the step, or something made by one."""
    return isinstance(answer, dict) and bool({"unreached", "lacking"} & answer.keys())


def compact(answer):
    return json.dumps(answer, sort_keys=True, ensure_ascii=False)


def main():
    logs, which = Path(os.environ["LOGS"]), sys.argv[1]
    ours = observe(which, "iot-local", logs)
    theirs = {name: observe(which, name, logs) for name in WITNESSES}
    agreed = tomllib.loads((HERE / "agreed" / f"{which}.toml").read_text())
    if "--print" in sys.argv:
        return print_entries(ours, theirs, agreed)
    verdicts = {f"iot-local: {title}": "FAIL: " + compact(our) for title, our in ours.items() if lacks(our)}
    titles = set(STEPS[which])
    for name in WITNESSES:
        entries = agreed.get(name, {})
        for title in sorted(entries.keys() - titles):
            verdicts[f"{name}: {title}"] = "FAIL: agreed, but no step of the scenario"
        for title, our in ours.items():
            verdicts[f"{name}: {title}"] = judge(our, theirs[name][title], entries.get(title))
    for case, verdict in verdicts.items():
        word, _, why = verdict.partition(": ")
        print(f"{word:<4} {case}" + (f": {why}" if why else ""))
    return int(any(verdict.startswith("FAIL") for verdict in verdicts.values()))


def judge(our, their, entry):
    """`ok`, `skip`, or `FAIL: why` for one step of one witness."""
    if lacks(their):
        return "FAIL: agreed, but the witness lacks it" if entry else "skip"
    if our == their:
        return "FAIL: agreed to differ, but it does not" if entry else "ok"
    if not entry:
        return f"FAIL: we say {compact(our)}, it says {compact(their)}"
    if entry["says"] != compact(their):
        return f"FAIL: it was agreed to say {entry['says']}, and says {compact(their)}"
    return "ok"


def print_entries(ours, theirs, agreed):
    for name in WITNESSES:
        for title, our in ours.items():
            their = theirs[name][title]
            if our == their or lacks(their):
                continue
            known = agreed.get(name, {}).get(title, {})
            print(f'[{name}."{title}"]')
            print(f"# we: {compact(our)}")
            print(f"says = '{compact(their)}'")
            print(f'why = "{known.get("why", "")}"\n')
    return 0


if __name__ == "__main__":
    sys.exit(main())
