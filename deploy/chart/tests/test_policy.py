"""The policy of the pods: nobody is root, nothing is written, everything is limited and looked after."""

import copy

import pytest

from conftest import CHART, pods, render


def broken(pod):
    """The rules that a pod's template breaks."""
    spec = pod["spec"]
    security = spec.get("securityContext", {})
    found = {
        "token": spec.get("automountServiceAccountToken") is not False,
        "service links": spec.get("enableServiceLinks") is not False,
        "root": security.get("runAsNonRoot") is not True or not security.get("runAsUser"),
        "seccomp": security.get("seccompProfile") != {"type": "RuntimeDefault"},
        "host": any(spec.get(it) for it in ("hostNetwork", "hostPID", "hostIPC")),
        "volumes": any(set(it) - {"name", "configMap", "secret", "emptyDir"} for it in spec.get("volumes", [])),
    }
    for container in spec.get("initContainers", []) + spec["containers"]:
        own = container.get("securityContext", {})
        found["root"] |= own.get("runAsNonRoot") is False or own.get("runAsUser") == 0
        resources = container.get("resources", {})
        here = {
            "privilege": own.get("privileged", False) or own.get("allowPrivilegeEscalation") is not False,
            "capabilities": own.get("capabilities") != {"drop": ["ALL"]},
            "writable": own.get("readOnlyRootFilesystem") is not True,
            "limits": any({"cpu", "memory"} - set(resources.get(it, {})) for it in ("requests", "limits")),
            "probes": {"startupProbe", "livenessProbe", "readinessProbe"} - set(container),
            "host ports": any("hostPort" in it for it in container.get("ports", [])),
            "mounts": not all(it.get("readOnly") for it in container.get("volumeMounts", [])),
            "image": ":" not in container["image"] or container["image"].endswith(":latest"),
        }
        found |= {rule: found.get(rule) or bad for rule, bad in here.items()}
    return {rule for rule, bad in found.items() if bad}


def test_every_pod_keeps_the_policy(objects):
    found = pods(objects)
    assert found and not {name: broken(pod) for name, pod in found.items() if broken(pod)}


POD = pods(render(CHART / "tests/values/minimal.yaml"))["r-carillon"]
BREACHES = {
    "token": lambda spec, _: spec.pop("automountServiceAccountToken"),
    "service links": lambda spec, _: spec.pop("enableServiceLinks"),
    "root": lambda _, container: container["securityContext"].update(runAsUser=0),
    "seccomp": lambda spec, _: spec["securityContext"].pop("seccompProfile"),
    "host": lambda spec, _: spec.update(hostPID=True),
    "volumes": lambda spec, _: spec["volumes"].append({"name": "etc", "hostPath": {"path": "/etc"}}),
    "privilege": lambda _, container: container["securityContext"].update(privileged=True),
    "capabilities": lambda _, container: container["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
    "writable": lambda _, container: container["securityContext"].pop("readOnlyRootFilesystem"),
    "limits": lambda _, container: container["resources"]["limits"].pop("memory"),
    "probes": lambda _, container: container.pop("readinessProbe"),
    "host ports": lambda _, container: container["ports"][0].update(hostPort=80),
    "mounts": lambda _, container: container["volumeMounts"][0].pop("readOnly"),
    "image": lambda _, container: container.update(image="carillon:latest"),
}


@pytest.mark.parametrize("rule", BREACHES)
def test_a_breach_is_noticed(rule):
    pod = copy.deepcopy(POD)
    assert not broken(pod)
    BREACHES[rule](pod["spec"], pod["spec"]["containers"][0])
    assert broken(pod) == {rule}


def test_no_rule_is_without_a_breach():
    nothing = {"spec": {"containers": [{"image": "x", "volumeMounts": [{}], "ports": [{"hostPort": 1}]}], "hostIPC": True}}
    assert broken(nothing) | {"volumes"} == set(BREACHES)
