"""The alert rules: each fires when it should and only then, has a page for who is called, and goes into the chart as it is."""

import pathlib
import re
import subprocess

import pytest
import yaml

from conftest import CHART, HERE, counted, of_kind, promtool, render

FILE = CHART / "files/alerts.yaml"
GROUPS = yaml.safe_load(FILE.read_text())["groups"]
RULES = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
# as text: 0x20 is a series, not a number
CASES = yaml.load((HERE / "alerts.yaml").read_text(), Loader=yaml.BaseLoader)
RUNBOOKS = CHART.parents[1] / "docs/runbooks"


def verdict(cases, tmp_path, fires):
    """What promtool says of these cases, by alert."""
    test = {"rule_files": [str(FILE)], "evaluation_interval": "15s", "tests": [trial(*it, fires) for it in cases.items()]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    return promtool("test", "rules", tmp_path / "test.yaml")


def trial(alert, case, fires):
    """One of them, as promtool reads it."""
    expected = []
    if fires:
        rule = RULES[alert]
        annotations = {**rule["annotations"], "description": case["says"]}
        expected = [{"exp_labels": {**case.get("labels", {}), **rule["labels"]}, "exp_annotations": annotations}]
    series = [{"series": name, "values": values} for name, values in case.get("given", {}).items()]
    ask = {"eval_time": case["after"], "alertname": alert, "exp_alerts": expected}
    return {"interval": "15s", "input_series": series, "alert_rule_test": [ask]}


def test_prometheus_reads_them():
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", FILE)
    assert done.returncode == 0 and f"{len(RULES)} rules found" in done.stdout, done.stdout + done.stderr


def test_each_is_tried_both_ways():
    assert {alert: sorted(case) for alert, case in CASES.items()} == {alert: ["fires", "fires not"] for alert in RULES}
    counted.append(f"{len(RULES)} alert rules, each tried both ways, each with a runbook")


def test_each_fires_when_it_should(tmp_path):
    done = verdict({alert: case["fires"] for alert, case in CASES.items()}, tmp_path, fires=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_none_fires_otherwise(tmp_path):
    done = verdict({alert: case["fires not"] for alert, case in CASES.items()}, tmp_path, fires=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_case_that_is_wrong_is_noticed(tmp_path):
    """The two above can fail."""
    case = CASES["CarillonRedisAway"]
    quiet = {**case["fires"], **case["fires not"]}
    assert verdict({"CarillonRedisAway": quiet}, tmp_path, fires=True).returncode == 1
    assert verdict({"CarillonRedisAway": case["fires"]}, tmp_path, fires=False).returncode == 1
    assert verdict({"CarillonRedisAway": {**case["fires"], "says": "something else"}}, tmp_path, fires=True).returncode == 1


@pytest.mark.parametrize("alert", RULES)
def test_it_says_what_and_how_urgent(alert):
    rule = RULES[alert]
    assert alert.startswith("Carillon") and rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert sorted(rule["annotations"]) == ["description", "runbook_url", "summary"]
    assert "{{" not in rule["annotations"]["summary"], "alerts of one kind are grouped by it"
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{alert}.md"


def test_every_alert_has_a_page_and_every_page_an_alert():
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(RULES)
    index = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \| (page|ticket) \|", (RUNBOOKS / "README.md").read_text(), re.MULTILINE)
    assert index == [(alert, alert, rule["labels"]["severity"]) for alert, rule in RULES.items()]
    for alert in RULES:
        title, *lines = (RUNBOOKS / f"{alert}.md").read_text().splitlines()
        assert title == f"# {alert}"
        headings = [line for line in lines if line.startswith("## ")]
        assert headings == ["## What it means", "## Look", "## Do", "## Do not"], alert


def test_links_of_the_pages_lead_somewhere():
    for page in RUNBOOKS.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            assert (RUNBOOKS / target).exists(), f"{page.name}: {target}"


def test_the_chart_makes_a_rule_of_them():
    values = {"prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}, "runbooks": "https://docs.example/runbooks"}}
    (rule,) = of_kind(render(CHART / "tests/values/minimal.yaml", values=values), "PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    rendered = {it["alert"]: it for group in rule["spec"]["groups"] for it in group["rules"]}
    for alert, it in rendered.items():
        assert it["annotations"].pop("runbook_url") == f"https://docs.example/runbooks/{alert}.md"
    assert rendered == {alert: without_link(rule) for alert, rule in RULES.items()}
    assert of_kind(render(CHART / "tests/values/minimal.yaml"), "PrometheusRule") == []


def without_link(rule):
    return {**rule, "annotations": {key: text for key, text in rule["annotations"].items() if key != "runbook_url"}}
