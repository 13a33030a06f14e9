"""Judges the load test: parts of a fleet are run by the very commands of etc/kubernetes and etc/cloudformation, and what
they leave is read by other people's readers: HdrHistogram's, Prometheus's, an HTML and an XML parser."""

import functools
import html.parser
import json
import os
import re
import socket
import subprocess
import time
import urllib.request
import xml.etree.ElementTree
from pathlib import Path

import yaml
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from lab import Core, Station, case, eventually, judge, template

ROOT = Path(__file__).resolve().parents[2]
STATION = Station()
PARTS = 4
LOAD_TEST_POLICY = "LoadTestPolicy"


@functools.cache
def fleet():
    """A CA that the core knows, whose devices may do what a load test does."""
    core = Core()
    document = json.loads((ROOT / "policies" / f"{LOAD_TEST_POLICY}.json").read_text())
    core.allow(LOAD_TEST_POLICY, *document["Statement"])
    (STATION.path / "template.json").write_text(json.dumps(template(policy={"PolicyName": LOAD_TEST_POLICY})))
    STATION.run("create-root")
    STATION.run("register", "--template", "template.json")
    STATION.run("loadtest", "setup", "--publishers", "8", "--subscribers", "4")
    return core


def scenario(text):
    """The scenario of the manifest for this machine: smaller, and shorter."""
    for pattern, value in (
        (r"publishers = \d+", "publishers = 8"),
        (r"subscribers = \d+", "subscribers = 4"),
        (r'duration = "\w+"', 'duration = "3s"'),
    ):
        text, count = re.subn(pattern, value, text)
        assert count == 1, f"{pattern} in {text}"
    return text


def together(commands):
    """Runs parts at the same time; hands on what they said."""
    running = [
        subprocess.Popen(
            command, env={**os.environ, **more}, cwd=STATION.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for command, more in commands
    ]
    said = [process.communicate(timeout=40) for process in running]
    for process, (_, errors) in zip(running, said, strict=True):
        assert process.returncode == 0, f"exit code {process.returncode}: {errors}"
    return [output for output, _ in said]


def rows(text):
    return dict(line.split("\t", 1) for line in text.splitlines())


def whole(folder):
    """A merged result in which nothing is missing."""
    result = json.loads((folder / "result.json").read_text())
    assert result["devices"] == 12 and result["shard"] is None, result
    counts = result["counts"]
    assert counts["connects"] >= 12 and counts["failedDevices"] == 0, counts
    assert counts["published"] == counts["due"] > 0 and result["lost"] == 0, counts
    # Every message to each of four subscribers, wherever they ran.
    assert counts["delivered"] == 4 * counts["published"] == counts["forwarded"], counts
    return result


@case
def the_jobs_of_kubernetes_run_a_fleet_in_four_parts_and_merge_it():
    fleet()
    documents = list(yaml.safe_load_all((ROOT / "etc/kubernetes/loadtest.yaml").read_text()))
    by_name = {document["metadata"]["name"]: document for document in documents}
    folder = STATION.path / "kubernetes"
    folder.mkdir()
    (folder / "scenario.toml").write_text(scenario(by_name["loadtest-scenario"]["data"]["scenario.toml"]))
    variables = {"RUN": "k8s-1", "START_AT": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 12))}
    places = {"/scenario": folder, "/identities": STATION.path, "/results": folder / "results"}

    def command(job, **more):
        """What a pod's container is given, with the pod's variables and folders."""
        [container] = by_name[job]["spec"]["template"]["spec"]["containers"]
        arguments = []
        for argument in container["args"]:
            argument = re.sub(r"\$\((\w+)\)", lambda found: {**variables, **more}[found[1]], argument)
            for mount, place in places.items():
                argument = re.sub(rf"(^|=){mount}\b", lambda found: f"{found[1]}{place}", argument)
            arguments.append(argument)
        assert container["command"] == ["loadtest"], container
        return STATION.command("loadtest", *arguments), {**variables, **more}

    assert by_name["loadtest"]["spec"]["completions"] == PARTS
    together([command("loadtest", JOB_COMPLETION_INDEX=str(index)) for index in range(PARTS)])
    merging, more = command("loadtest-merge")
    # Whether a machine that is busy with tests kept up is not what is judged.
    merging.remove("--assert=generatorLimited==0")
    [said] = together([(merging, more)])
    assert rows(said)["assert lost==0"].startswith("held"), said
    whole(folder / "results/k8s-1/merged")


@case
def the_array_job_of_aws_batch_does_too():
    fleet()
    yaml.SafeLoader.add_multi_constructor("!", lambda loader, suffix, node: suffix)
    resources = yaml.safe_load((ROOT / "etc/cloudformation/loadtest-batch.yaml").read_text())["Resources"]
    folder = STATION.path / "batch"
    folder.mkdir()
    (folder / "identities").symlink_to(STATION.path)
    text = (STATION.run("loadtest", "scenarios", "seed")).stdout
    text = re.sub(r"publishers = \d+\nsubscribers = \d+", "publishers = 8\nsubscribers = 4", text)
    (folder / "fleet.toml").write_text(re.sub(r'duration = "\w+"', 'duration = "3s"', text))
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 12))
    parameters = {"scenario": str(folder / "fleet.toml"), "run": "batch-1", "startAt": start}

    def command(definition, **more):
        arguments = resources[definition]["Properties"]["ContainerProperties"]["Command"]
        known = resources[definition]["Properties"]["Parameters"]
        filled = []
        for argument in arguments:
            if argument.startswith("Ref::"):
                name = argument.removeprefix("Ref::")
                assert name in known, f"{name} has no default"
                argument = parameters[name]
            filled.append(argument.replace("/data/", f"{folder}/").replace(" --assert generatorLimited==0", ""))
        path = f"{os.environ['BIN']}:{os.environ['PATH']}"
        return filled, {"PATH": path, **more}

    size = str(PARTS)
    together(
        [
            command("Part", AWS_BATCH_JOB_ARRAY_INDEX=str(index), AWS_BATCH_JOB_ARRAY_SIZE=size)
            for index in range(PARTS)
        ]
    )
    together([command("Merge")])
    whole(folder / "results/batch-1/merged")


def logged(*folders):
    """What the logs of these folders hold, by kind of latency."""
    sums = {}
    for folder in folders:
        reader = HistogramLogReader(str(folder / "latencies.hlog"), HdrHistogram(1, 3_600_000_000, 3))
        while (interval := reader.get_next_interval_histogram()) is not None:
            sums.setdefault(interval.get_tag(), HdrHistogram(1, 3_600_000_000, 3)).add(interval)
    return sums


@case
def the_logs_of_the_parts_are_read_by_hdr_histogram_and_add_up_to_the_merged_result():
    fleet()
    results = STATION.path / "kubernetes/results/k8s-1"
    sums = logged(*(results / f"part-{index}" for index in range(PARTS)))
    together = logged(results / "merged")
    assert set(together) == set(sums) and all(together[name].equals(total) for name, total in sums.items())
    merged = json.loads((results / "merged/result.json").read_text())["latencies"]
    assert set(sums) == set(merged) and {"delivery", "connect", "tls"} <= set(sums), (set(sums), set(merged))
    for name, total in sums.items():
        told = merged[name]
        assert told["count"] == total.get_total_count(), name
        for permille, member in ((500, "p50"), (900, "p90"), (990, "p99"), (999, "p999")):
            found = at_least(total, permille) / 1000
            assert told[member] == found, f"{name} {member}: {told[member]}, and {found} by HdrHistogram"


def at_least(histogram, permille):
    """The value that so many of a thousand do not exceed. Not get_value_at_percentile, which rounds to the nearest."""
    left = -(-histogram.get_total_count() * permille // 1000)
    for step in histogram.get_recorded_iterator():
        left -= step.count_added_in_this_iter_step
        if left <= 0:
            return histogram.get_highest_equivalent_value(step.value_iterated_to)
    raise AssertionError("it is empty")


class Page(html.parser.HTMLParser):
    """Elements that are closed in order, and what they refer to."""

    VOID = {"meta", "br", "link", "img", "input", "hr"}

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.references, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.references += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, text):
        self.text.append(text)


@case
def the_page_is_whole_and_refers_to_nothing():
    fleet()
    written = (STATION.path / "kubernetes/results/k8s-1/merged/report.html").read_text()
    page = Page()
    page.feed(written)
    page.close()
    assert not page.open and not page.references, (page.open, page.references)
    assert "script" not in page.tags and page.tags.count("svg") >= 4, page.tags
    for picture in re.findall(r"<svg .*?</svg>", written, re.DOTALL):
        xml.etree.ElementTree.fromstring(picture)
    assert "No message was lost." in "".join(page.text)


@case
def prometheus_reads_what_is_served_while_it_runs():
    fleet()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    flags = ["--publishers", "8", "--subscribers", "4", "--duration", "20s", "--metrics", f"127.0.0.1:{port}"]
    running = STATION.start("loadtest", "run", *flags, "--out", "watched")

    def told():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
                kind, text = answer.headers["content-type"], answer.read().decode()
        except OSError:
            return None
        families = {family.name: family for family in text_string_to_metric_families(text)}
        published = families["jitp_loadtest_published"].samples[0].value
        return (kind, families) if published >= 8 and "jitp_loadtest_delivery_latency_seconds" in families else None

    try:
        kind, families = eventually(told, "messages are published", seconds=15)
    finally:
        running.terminate()
        running.communicate(timeout=20)
    assert kind.startswith("application/openmetrics-text"), kind
    assert families["jitp_loadtest_connected"].samples[0].value == 12
    latency = families["jitp_loadtest_delivery_latency_seconds"]
    assert latency.type == "histogram" and latency.unit == "seconds", latency
    # Ended in good order, with the report of what was measured.
    assert running.returncode == 143, running.returncode
    result = json.loads((STATION.path / "watched/result.json").read_text())
    assert result["endedEarly"] and result["counts"]["published"] >= 8, result["endedEarly"]


judge()
