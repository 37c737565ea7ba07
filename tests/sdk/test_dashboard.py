"""The dashboard and the alert rules that are delivered, against what a server exports: each
metric and each label that an expression names is there."""

import json
import os
import re
import time

import pytest
import yaml

from hooks import started, target

FOLDER = os.path.join(os.path.dirname(__file__), "../../docs/operate/monitoring")
METRIC = re.compile(r"\b(?:costrel|process)_[a-z0-9_]+")
SELECTOR = re.compile(r"\b((?:costrel|process)_[a-z0-9_]+)\s*\{([^}]*)\}")
GROUPED = re.compile(r"\b(?:by|without)\s*\(([^)]*)\)")
# What Prometheus adds when it asks.
OF_THE_TARGET = {"instance", "job"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One with a target of events, so that theirs are exported."""
    server = started(tmp_path_factory.mktemp("server"), [target("hook", "http://127.0.0.1:1/")])
    yield server
    server.finish()


def load(name):
    with open(os.path.join(FOLDER, name)) as file:
        return json.load(file) if name.endswith(".json") else yaml.safe_load(file)


def of_dashboard():
    board = load("grafana.json")
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels:
        assert panel["title"] and panel["targets"], panel
        yield from (target["expr"] for target in panel["targets"])
    queries = [one for one in board["templating"]["list"] if one["type"] == "query"]
    yield from (one["query"]["query"] for one in queries)


def of_alerts():
    for group in load("alerts.yaml")["groups"]:
        for rule in group["rules"]:
            assert re.fullmatch(r"Costrel[A-Za-z]+", rule["alert"])
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert rule["annotations"]["summary"]
            yield rule["expr"]


def exported(server):
    """Names of samples, and the labels of each."""
    labels = {}
    for line in server.console("/metrics")[1].splitlines():
        if line.startswith("#"):
            continue
        name, pairs = re.match(r"([a-z0-9_]+)(?:\{(.*)\})? ", line).groups()
        labels.setdefault(name, set()).update(re.findall(r'([a-z_]+)="', pairs or ""))
    return labels


def test_every_metric_is_exported(server, bucket):
    assert server.cos("PUT", bucket, "k", body=b"x").status == 200
    assert server.cos("GET", bucket, "k").status == 200
    deadline = time.monotonic() + 10
    while not any(f'bucket="{bucket}"' in line and "retrieved" in line for line in
                  server.console("/metrics")[1].splitlines()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    known = exported(server)
    expressions = [*of_dashboard(), *of_alerts()]
    assert len(expressions) > 30
    for expression in expressions:
        assert "costrel_" in expression or "process_" in expression, expression
        for opening, closing in ("()", "[]", "{}"):
            assert expression.count(opening) == expression.count(closing), expression
        names = METRIC.findall(expression)
        for name in names:
            assert name in known, f"{name} of {expression}"
        has = set().union(*(known[name] for name in names)) | OF_THE_TARGET
        for name, selector in SELECTOR.findall(expression):
            for label in re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", selector):
                assert label in known[name] | OF_THE_TARGET, f"{label} of {expression}"
        for group in GROUPED.findall(expression):
            for label in filter(None, (label.strip() for label in group.split(","))):
                assert label in has, f"{label} of {expression}"


def test_every_alert_is_explained():
    with open(os.path.join(FOLDER, "../monitoring.md")) as file:
        text = file.read()
    for group in load("alerts.yaml")["groups"]:
        for rule in group["rules"]:
            assert f"`{rule['alert']}`" in text
