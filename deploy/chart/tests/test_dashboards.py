"""Dashboards and alert rules ask for metrics, labels and values of labels that there are, in expressions that Prometheus reads."""

import json
import os
import re
import socket
import subprocess
import time
import urllib.request

import pytest
import yaml

from conftest import CHART, counted, of_kind, promtool, render

BOARDS = {file.stem: json.loads(file.read_text()) for file in sorted(CHART.glob("files/dashboards/*.json"))}
GROUPS = yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"]
TABLE = CHART.parents[1] / "docs/metrics.md"

# what Prometheus and the operator add to every series
OF_A_TARGET = {"namespace", "job", "pod", "instance"}
# Prometheus's own
OF_PROMETHEUS = {"up": OF_A_TARGET, "ALERTS": OF_A_TARGET | {"alertname", "alertstate", "severity"}}
# All that makes series of its own. It waits for a Redis that is not there, and is not ready; it serves metrics all the same.
EVERYTHING = """
[public]
listen = "127.0.0.1:0"
[internal]
listen = "127.0.0.1:%d"
[redis]
url = "redis://127.0.0.1:1/0"
[upstream]
url = "http://127.0.0.1:1/nobody"
secret = "a secret of the tests, thirty-two bytes"
[[namespaces]]
name = "/"
upstream = { disconnect = true }
"""


def expressions():
    """All of them: where they stand, and how Prometheus sees them."""
    for group in GROUPS:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for name, board in BOARDS.items():
        for variable in board["templating"]["list"]:
            if asked := re.fullmatch(r"label_values\((.*), \w+\)", variable["query"]):
                yield f"{name}: ${variable['name']}", plain(asked[1])
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield f"{name}: {panel['title']} {target['refId']}", plain(target["expr"])


def plain(expression):
    return expression.replace("$__rate_interval", "1m")


ALL = dict(expressions())


@pytest.fixture(scope="module")
def documented():
    """Labels by metric, of the table of docs/metrics.md; e2e compares it with what a gateway serves."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", TABLE.read_text(), re.MULTILINE)
    metrics = dict(OF_PROMETHEUS)
    for name, kind, labels in rows:
        labels = OF_A_TARGET | set(re.findall(r"`(\w+)`", labels))
        if kind == "histogram":
            metrics |= {f"{name}_sum": labels, f"{name}_count": labels, f"{name}_bucket": labels | {"le"}}
        else:
            metrics[name] = labels
    return metrics


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Values of labels that a gateway serves, by metric and label."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    file = tmp_path_factory.mktemp("gateway") / "carillon.toml"
    file.write_text(EVERYTHING % port)
    environment = {name: text for name, text in os.environ.items() if not name.startswith("CARILLON_")}
    command = [os.environ["CARILLON_BIN"], "serve", "--config", file]
    gateway = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        text = answer(f"http://127.0.0.1:{port}/metrics", gateway)
    finally:
        gateway.kill()
        gateway.wait()
    values = {}
    for name, labels in re.findall(r"^(\w+)\{(.*)\} ", text, re.MULTILINE):
        for label, value in re.findall(r'(\w+)="([^"]*)"', labels):
            values.setdefault((name, label), set()).add(value)
    return values


def answer(url, gateway):
    """What comes from there as soon as something does; the wait ends with the gateway, or after a minute."""
    for _ in range(600):
        assert gateway.poll() is None, "the gateway has ended"
        try:
            return urllib.request.urlopen(url, timeout=10).read().decode()
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"no answer from {url}")


def selectors(expression):
    """Metrics of an expression, with their matchers as (label, operator, value)."""
    matcher = r'\w+(?:=~|!~|!=|=)"(?:[^"\\]|\\.)*"'
    for name, matchers in re.findall(r"\b([a-zA-Z_]\w*)(?:\{((?:" + matcher + r",?\s*)*)\})?(?![\w(]|\s*\()", expression_without_labels(expression)):
        if name.startswith(("carillon_", "process_")) or name in OF_PROMETHEUS:
            yield name, re.findall(r'(\w+)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)"', matchers)


def expression_without_labels(expression):
    """Without the lists of labels, which look like metrics."""
    return re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", r"\1()", expression)


def grouped(expression):
    """Labels that it is summed up by or joined on."""
    return {it.strip() for labels in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression) for it in labels.split(",")} - {""}


def mistakes(expression, documented, served):
    """What is wrong with the names in it."""
    found, known = [], set()
    for name, matchers in selectors(expression):
        if name not in documented:
            found.append(f"there is no metric {name}")
            continue
        known |= documented[name]
        for label, operator, value in matchers:
            if label not in documented[name]:
                found.append(f"{name} has no label {label}")
            elif (name, label) in served:
                values = value.split("|") if "~" in operator else [value]
                found += [f'no {name}{{{label}="{it}"}}' for it in values if it not in served[name, label]]
    return found + [f"no label {it}" for it in sorted(grouped(expression) - known)]


@pytest.mark.parametrize("where", ALL)
def test_names_are_of_what_there_is(where, documented, served):
    assert list(selectors(ALL[where])), "an expression without a metric"
    assert mistakes(ALL[where], documented, served) == []


@pytest.mark.parametrize(
    "expression, mistake",
    [
        ("sum(carillon_conections)", "there is no metric carillon_conections"),
        ("sum by (transprt) (carillon_connections{})", "no label transprt"),
        ('rate(carillon_closes_total{reson="lost"}[5m])', "carillon_closes_total has no label reson"),
        ('rate(carillon_closes_total{reason="slow"}[5m])', 'no carillon_closes_total{reason="slow"}'),
        ('x and on (job) carillon_closes_total{reason=~"lost|slow"}', 'no carillon_closes_total{reason="slow"}'),
    ],
)
def test_mistakes_are_noticed(expression, mistake, documented, served):
    assert mistakes(expression, documented, served) == [mistake]


def test_prometheus_reads_every_expression(tmp_path):
    rules = [{"record": f"it:{n}", "expr": expression} for n, expression in enumerate(ALL.values())]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    done = promtool("check", "rules", tmp_path / "rules.yaml")
    assert done.returncode == 0 and f"{len(ALL)} rules found" in done.stdout, done.stdout + done.stderr
    counted.append(f"{len(ALL)} expressions of alert rules and {len(BOARDS)} dashboards")


def test_every_metric_is_looked_at(documented):
    looked = {name for expression in ALL.values() for name, _ in selectors(expression)}
    family = lambda name: re.sub("_(sum|count|bucket)$", "", name)
    unseen = {family(it) for it in documented} - {family(it) for it in looked}
    assert unseen == {"process_virtual_memory_bytes", "carillon_forwarded_websockets_total"}


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_is_in_order(name):
    board = BOARDS[name]
    assert board["uid"] == name
    panels = board["panels"]
    assert len({it["id"] for it in panels}) == len(panels) and len({it["title"] for it in panels}) == len(panels)
    variables = {it["name"] for it in board["templating"]["list"]}
    for panel in panels:
        assert set(re.findall(r"\$\{?(\w+)", json.dumps(panel))) <= variables | {"__rate_interval"}
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        for target in panel.get("targets", []):
            labels = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            assert "by (" not in target["expr"] or set(labels) <= grouped(target["expr"]), target


def test_the_chart_brings_them_to_grafana():
    values = {"dashboards": {"enabled": True, "annotations": {"grafana_folder": "Realtime"}}}
    maps = of_kind(render(CHART / "tests/values/minimal.yaml", values=values), "ConfigMap")
    (found,) = [it for it in maps if it["metadata"]["labels"].get("grafana_dashboard") == "1"]
    assert found["metadata"]["annotations"] == {"grafana_folder": "Realtime"}
    assert {name: json.loads(text) for name, text in found["data"].items()} == {f"{name}.json": board for name, board in BOARDS.items()}
    assert len(of_kind(render(CHART / "tests/values/minimal.yaml"), "ConfigMap")) == 1
