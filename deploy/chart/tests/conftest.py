"""Renders the chart, once for each set of values in values/."""

import collections
import os
import pathlib
import subprocess
import tempfile

import pytest
import yaml

HERE = pathlib.Path(__file__).parent
CHART = HERE.parent
DEPLOY = CHART.parent
TOOLS = pathlib.Path(os.environ["TOOLS"])
SETS = sorted(HERE.glob("values/*.yaml"))
RELEASE, NAMESPACE = "r", "live"


def helm(*args):
    """What helm says on stdout; its words as an AssertionError where it fails."""
    done = subprocess.run([TOOLS / "bin/helm", *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def promtool(*args):
    """What promtool did: its code and its words."""
    return subprocess.run([TOOLS / "bin/promtool", *args], capture_output=True, text=True)


def render(*files, chart=CHART, values=None, version="1.34"):
    """The rendered objects."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as more:
        yaml.safe_dump(values or {}, more)
        more.flush()
        flags = [flag for file in [*files, more.name] for flag in ("-f", file)]
        text = helm("template", RELEASE, chart, "-n", NAMESPACE, "--kube-version", version, *flags)
    return [it for it in yaml.safe_load_all(text) if it]


def of_kind(objects, kind):
    return [it for it in objects if it["kind"] == kind]


def pods(objects):
    """The templates of the pods, by the name of what makes them."""
    return {it["metadata"]["name"]: it["spec"]["template"] for it in objects if "template" in it.get("spec", {})}


def gateway(objects):
    """The gateway's Deployment."""
    return next(it for it in of_kind(objects, "Deployment") if it["metadata"]["name"] == f"{RELEASE}-carillon")


_rendered = {}
accepted = collections.Counter()
# what tests have counted, for the last lines
counted = []


def pytest_terminal_summary(terminalreporter):
    for version, count in sorted(accepted.items()):
        terminalreporter.write_line(f"{len(SETS)} sets of values, {count} objects valid for Kubernetes {version}")
    for line in counted:
        terminalreporter.write_line(line)


@pytest.fixture(params=SETS, ids=lambda it: it.stem)
def values_file(request):
    return request.param


@pytest.fixture
def objects(values_file):
    if values_file not in _rendered:
        _rendered[values_file] = render(values_file)
    return _rendered[values_file]
