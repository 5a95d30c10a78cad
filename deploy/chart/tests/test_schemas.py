"""What is rendered is what Kubernetes takes: lint, the schemas of three versions, and those of the custom resources."""

import subprocess
import tomllib

import jsonschema
import kubernetes_validate
import pytest
import yaml

from conftest import CHART, DEPLOY, SETS, TOOLS, accepted, helm, of_kind, render

VERSIONS = ["1.30", "1.34", "1.37"]
CUSTOM = {
    "HTTPRoute": "gateway.networking.k8s.io_httproutes",
    "ServiceMonitor": "monitoring.coreos.com_servicemonitors",
    "PrometheusRule": "monitoring.coreos.com_prometheusrules",
}


def closed(schema):
    """The schema with unknown fields as errors, as `kubectl apply --validate=strict` has it."""
    if isinstance(schema, list):
        return [closed(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(it) for key, it in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        schema.setdefault("additionalProperties", False)
    return schema


def validate_custom(it):
    text = (TOOLS / f"crds/{CUSTOM[it['kind']]}.yaml").read_text()
    # Go lets flags stand anywhere in an expression, Python only at its beginning
    definition = yaml.safe_load(text.replace("^(?i)", "(?i)^"))
    group, version = it["apiVersion"].split("/")
    assert definition["spec"]["group"] == group
    served = next(v for v in definition["spec"]["versions"] if v["name"] == version and v["served"])
    schema = closed(served["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    jsonschema.validate(it, schema)


def test_lint(values_file):
    helm("lint", "--strict", CHART, "-f", values_file)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_accept_every_object(values_file, version):
    objects = render(values_file, version=version)
    for it in objects:
        if it["kind"] in CUSTOM:
            validate_custom(it)
        else:
            assert kubernetes_validate.validate(it, version, strict=True) == version
    names = [(it["kind"], it["metadata"]["name"]) for it in objects]
    assert len(names) == len(set(names)), names
    accepted[version] += len(objects)


def test_every_template_renders_in_some_set():
    rendered = {it["kind"] for file in SETS for it in render(file)}
    assert rendered == {
        "ConfigMap", "Deployment", "HTTPRoute", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy", "PodDisruptionBudget",
        "PrometheusRule", "Service", "ServiceAccount", "ServiceMonitor",
    }  # fmt: skip


def test_unknown_fields_are_noticed():
    full, routed = (render(CHART / f"tests/values/{name}.yaml") for name in ("full", "gateway-api"))
    deployment = of_kind(full, "Deployment")[0]
    deployment["spec"]["template"]["spec"]["hostNetwrk"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)
    for it in of_kind(full, "ServiceMonitor") + of_kind(full, "PrometheusRule") + of_kind(routed, "HTTPRoute"):
        it["spec"]["selectr"] = {}
        with pytest.raises(jsonschema.ValidationError, match="selectr"):
            validate_custom(it)


def test_older_versions_of_kubernetes_are_refused():
    with pytest.raises(AssertionError, match="requires kubeVersion"):
        render(SETS[0], version="1.29")


def test_the_chart_is_of_the_gateways_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    workspace = tomllib.loads((DEPLOY.parent / "Cargo.toml").read_text())["workspace"]["package"]
    assert chart["appVersion"] == workspace["version"]


def test_the_package_renders_like_the_folder(tmp_path):
    helm("package", CHART, "-d", tmp_path)
    (package,) = tmp_path.glob("*.tgz")
    listed = subprocess.run(["tar", "-tzf", package], capture_output=True, text=True, check=True).stdout.split()
    assert {f"carillon/files/{it}" for it in ("redis.conf", "alerts.yaml", "dashboards/carillon.json")} <= set(listed)
    assert not [it for it in listed if "/tests/" in it or it.endswith(("/install", "/check"))], listed
    for file in (CHART / f"tests/values/{name}.yaml" for name in ("trial-redis", "full")):
        assert render(file, chart=package) == render(file)
