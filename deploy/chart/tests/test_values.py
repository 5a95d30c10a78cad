"""No dead values: each is described in the schema, and changes what is rendered. And those that make no sense are refused."""

import copy
import json

import pytest
import yaml

from conftest import CHART, HERE, render

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
WEBSOCKET = '[public]\ntransports = ["websocket"]\n'
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
FULL = yaml.safe_load((HERE / "values/full.yaml").read_text())


def resolved(schema):
    name = schema.get("$ref", "").rpartition("/")[2]
    return SCHEMA["definitions"][name] | schema if name else schema


def leaves(values, path=()):
    """Paths of the values that a person sets; a map that may hold anything is one value."""
    if isinstance(values, dict) and values:
        return [leaf for key, it in values.items() for leaf in leaves(it, (*path, key))]
    return [path]


def described(schema, path=()):
    """The same of the schema; it fails where there is no description."""
    schema = resolved(schema)
    assert path == () or schema.get("description"), f"{'.'.join(path)} is not described"
    if "properties" in schema:
        assert schema["additionalProperties"] is False, path
        return [leaf for key, it in schema["properties"].items() for leaf in described(it, (*path, key))]
    return [path]


def test_the_schema_describes_every_value_and_no_other():
    assert sorted(described(SCHEMA)) == sorted([*leaves(VALUES), ("global",)])


# where not all that it needs is in the full set
BESIDE = {
    "replicas": {"autoscaling": {"enabled": False}},
    "tls.public.secretName": {"ingress": {"enabled": False}},
    "tls.internal": {"tls": {"internal": {"secretName": "node", "clientCa": False}}, "config": WEBSOCKET},
    "tls.internal.serverName": {"tls": {"internal": {"serverName": "carillon.internal"}}, "config": ""},
    "route": {"route": {"enabled": True, "parentRefs": [{"name": "public"}]}},
    "trialRedis": {
        "trialRedis": {"enabled": True},
        "secrets": {"redisUrl": {"name": ""}},
        "config": "",
        "replicas": 1,
        "autoscaling": {"enabled": False},
    },
}
# where a value of the same type will not do
OTHER = {
    "resources.requests.memory": "1Gi",
    "resources.limits.memory": "2Gi",
    "config": "workers = 7",
    "image.pullPolicy": "Never",
    "service.type": "NodePort",
    "ingress.controller": "nginx",
    "networkPolicy.clients": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
    "networkPolicy.backends": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
    "networkPolicy.prometheus": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
    "route.parentRefs": [{"name": "other"}],
    "serviceMonitor.interval": "45s",
    "serviceMonitor.tlsConfig": {"serverName": "other"},
    "tolerations": [{"key": "other", "operator": "Exists"}],
    "trialRedis.pullPolicy": "Never",
}


def merged(base, more):
    for key, it in more.items():
        base[key] = merged(base[key], it) if isinstance(it, dict) and isinstance(base.get(key), dict) else it
    return base


def other(path, value):
    if path in OTHER:
        return OTHER[path]
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return "7" if path.endswith(".cpu") else "other"
        case list():
            return ["other"]
        case dict():
            return {"other": "other"}


@pytest.mark.parametrize("leaf", leaves(VALUES), ids=".".join)
def test_every_value_changes_what_is_rendered(leaf):
    path = ".".join(leaf)
    base = merged(copy.deepcopy(VALUES), copy.deepcopy(FULL))
    for beside, values in BESIDE.items():
        if path == beside or path.startswith(f"{beside}."):
            merged(base, copy.deepcopy(values))
    if path == "tls.internal.secretName":
        base["tls"]["internal"]["clientCa"] = True
    changed = copy.deepcopy(base)
    holder = changed
    for key in leaf[:-1]:
        holder = holder[key]
    holder[leaf[-1]] = other(path, holder[leaf[-1]])
    assert render(values=changed) != render(values=base)


MINIMAL = {"secrets": {"apiKeys": {"name": "keys"}, "redisUrl": {"name": "redis"}}}
REFUSED = [
    ("no key", {"secrets": {"apiKeys": {"name": ""}}}, "the internal port needs an API key"),
    ("no Redis", {"secrets": {"redisUrl": {"name": ""}}}, "several gateways need a Redis"),
    (
        "no Redis, scaled",
        {"replicas": 1, "autoscaling": {"enabled": True}, "secrets": {"redisUrl": {"name": ""}}},
        "several gateways need a Redis",
    ),
    ("two Redis", {"trialRedis": {"enabled": True}}, "there can be only one Redis"),
    ("no TOML", {"config": "a = = b"}, "config is not TOML"),
    ("drain in config", {"config": '[drain]\nspread = "1s"'}, "config sets drain"),
    ("listen in config", {"config": '[public]\nlisten = "0.0.0.0:1"'}, "config sets public.listen"),
    ("Redis in config", {"config": '[redis]\nurl = "redis://a"'}, "config sets redis.url"),
    ("keys in config", {"config": '[[internal.api_keys]]\nname = "a"'}, "config sets internal.api_keys"),
    (
        "upstream in config",
        {"secrets": {"upstream": {"name": "u"}}, "config": '[upstream]\nsecret_file = "/f"'},
        "config sets upstream.secret_file",
    ),
    ("short deadline", {"drain": {"spreadSeconds": 51}}, "drain.deadlineSeconds must be at least readyDelaySeconds and spreadSeconds together (61)"),
    ("affinity alone", {"ingress": {"enabled": True, "hosts": ["a"], "affinity": True}}, "affinity needs ingress.controller"),
    ("affinity, no polling", {"config": WEBSOCKET, "ingress": {"affinity": True}}, "affinity is for polling"),
    ("TLS twice", {"tls": {"public": {"secretName": "t"}}, "ingress": {"enabled": True, "hosts": ["a"]}}, "ends TLS itself"),
    (
        "TLS behind a Gateway",
        {"tls": {"public": {"secretName": "t"}}, "route": {"enabled": True, "parentRefs": [{"name": "g"}]}},
        "ends TLS itself",
    ),
    ("TLS among polling gateways", {"tls": {"internal": {"secretName": "t"}}}, "need tls.internal.serverName"),
    ("name alone", {"tls": {"internal": {"serverName": "a.internal"}}}, "serverName is of no use"),
    (
        "name in config",
        {"tls": {"internal": {"secretName": "t"}}, "config": '[internal.tls]\nserver_name = "a"'},
        "config sets internal.tls.server_name",
    ),
    ("CA alone", {"tls": {"internal": {"clientCa": True}}}, "clientCa is of no use"),
    ("no metric", {"autoscaling": {"enabled": True, "cpuPercent": 0}}, "autoscaling needs cpuPercent or connections"),
    ("fewer than least", {"autoscaling": {"enabled": True, "maxReplicas": 2}}, "must be at least minReplicas"),
    # by the schema
    ("unknown key", {"replica": 3}, "replica"),
    ("unknown key inside", {"ingress": {"host": "a"}}, "host"),
    ("no limits", {"resources": {"limits": {"memory": None}}}, "memory"),
    ("half a second", {"drain": {"spreadSeconds": 0.5}}, "spreadSeconds"),
    ("no hosts", {"ingress": {"enabled": True}}, "ingress"),
    ("no parents", {"route": {"enabled": True}}, "route"),
    ("a name that is none", {"secrets": {"apiKeys": {"name": "My Keys"}}}, "apiKeys"),
    ("no gateway", {"replicas": 0}, "replicas"),
    ("open to nothing", {"networkPolicy": {"backends": [{}]}}, "backends"),
]


@pytest.mark.parametrize("values, words", [it[1:] for it in REFUSED], ids=[it[0] for it in REFUSED])
def test_what_makes_no_sense_is_refused(values, words):
    with pytest.raises(AssertionError) as refused:
        render(values=merged(copy.deepcopy(MINIMAL), copy.deepcopy(values)))
    assert words in str(refused.value)


def test_what_they_are_made_of_is_accepted():
    assert render(values=MINIMAL)


def test_a_changed_configuration_rolls_the_pods():
    def annotations(config):
        deployment = next(it for it in render(values=MINIMAL | {"config": config}) if it["kind"] == "Deployment")
        return deployment["spec"]["template"]["metadata"]["annotations"]

    assert annotations("workers = 1") != annotations("workers = 2")
    assert annotations("workers = 1") == annotations("workers = 1")
