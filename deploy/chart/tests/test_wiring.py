"""The objects fit each other."""

from conftest import DEPLOY, NAMESPACE, gateway, of_kind, pods


def selects(selector, labels):
    return selector.items() <= labels.items()


def selected(selector, objects):
    return [name for name, pod in pods(objects).items() if selects(selector, pod["metadata"]["labels"])]


def ports(pod):
    return {it["name"]: it["containerPort"] for it in pod["spec"]["containers"][0]["ports"]}


def test_services_lead_to_ports_of_one_deployment(objects):
    for service in of_kind(objects, "Service"):
        (name,) = selected(service["spec"]["selector"], objects)
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports(pods(objects)[name])
    services = {it["metadata"]["name"]: it["spec"] for it in of_kind(objects, "Service")}
    assert services["r-carillon"]["ports"][0]["targetPort"] == "public"
    assert services["r-carillon-internal"].get("type", "ClusterIP") == "ClusterIP"
    assert services["r-carillon-nodes"]["clusterIP"] == "None"


def test_routes_lead_to_the_public_service_only(objects):
    services = {it["metadata"]["name"]: it["spec"]["ports"] for it in of_kind(objects, "Service")}
    backends = [
        path["backend"]["service"]
        for ingress in of_kind(objects, "Ingress")
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    ]
    assert all(it == {"name": "r-carillon", "port": {"name": "public"}} for it in backends)
    for route in of_kind(objects, "HTTPRoute"):
        (rule,) = route["spec"]["rules"]
        assert rule["backendRefs"] == [{"name": "r-carillon", "port": services["r-carillon"][0]["port"]}]
        assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}


def test_selectors_do_not_change_with_the_version(objects):
    for it in of_kind(objects, "Deployment"):
        selector = it["spec"]["selector"]["matchLabels"]
        assert set(selector) == {f"app.kubernetes.io/{key}" for key in ("name", "instance", "component")}
        assert selected(selector, objects) == [it["metadata"]["name"]]


def test_what_a_pod_mounts_is_there(objects):
    made = {(it["kind"], it["metadata"]["name"]) for it in objects}
    for pod in pods(objects).values():
        volumes = {it["name"]: it for it in pod["spec"]["volumes"]}
        mounts = [it["name"] for it in pod["spec"]["containers"][0]["volumeMounts"]]
        assert sorted(mounts) == sorted(volumes)
        assert all(("ConfigMap", it["configMap"]["name"]) in made for it in volumes.values() if "configMap" in it)
        account = pod["spec"].get("serviceAccountName")
        assert account is None or ("ServiceAccount", account) in made


def test_the_internal_port_is_never_open_to_everybody(objects, values_file):
    policies = of_kind(objects, "NetworkPolicy")
    assert len(policies) == {"alone": 0, "trial-redis": 2}.get(values_file.stem, 1)
    for policy in policies:
        (name,) = selected(policy["spec"]["podSelector"]["matchLabels"], objects)
        rules = {rule["ports"][0]["port"]: rule.get("from") for rule in policy["spec"]["ingress"]}
        assert set(rules) == set(ports(pods(objects)[name])), "every port has its rule"
        for port in set(rules) - {"public"}:
            own = rules[port][0]["podSelector"]["matchLabels"]
            assert selected(own, objects) == ["r-carillon"]
            assert all(it.get("podSelector") or it.get("namespaceSelector") or it.get("ipBlock") for it in rules[port])


def test_the_full_set_lets_in_who_is_named(objects, values_file):
    if values_file.stem != "full":
        return
    (policy,) = of_kind(objects, "NetworkPolicy")
    named = [
        [peer.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name") for peer in rule["from"]]
        for rule in policy["spec"]["ingress"]
    ]
    assert named == [["ingress"], [None, "shop", "monitoring"]]


def test_prometheus_finds_each_gateway_once(objects):
    for monitor in of_kind(objects, "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        found = [it for it in of_kind(objects, "Service") if selects(selector, it["metadata"]["labels"])]
        assert [it["metadata"]["name"] for it in found] == ["r-carillon-nodes"]
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] in [it["name"] for it in found[0]["spec"]["ports"]]
        assert monitor["spec"]["namespaceSelector"] == {"matchNames": [NAMESPACE]}


def test_the_grace_period_holds_the_drain(objects):
    spec = gateway(objects)["spec"]
    pod = spec["template"]["spec"]
    drain = {
        it["name"].removeprefix("CARILLON_DRAIN__"): int(it["value"].removesuffix("s"))
        for it in pod["containers"][0]["env"]
        if it["name"].startswith("CARILLON_DRAIN__")
    }
    assert set(drain) == {"READY_DELAY", "SPREAD", "DEADLINE", "GRACE_PERIOD"}
    assert pod["terminationGracePeriodSeconds"] == drain["GRACE_PERIOD"], "check-config holds the drain against it"
    assert spec["minReadySeconds"] == drain["READY_DELAY"] + drain["SPREAD"], "a rollout drains one after the other"
    assert spec["progressDeadlineSeconds"] > spec["minReadySeconds"]


def test_the_autoscaler_alone_sets_the_replicas(objects):
    scalers = of_kind(objects, "HorizontalPodAutoscaler")
    assert ("replicas" in gateway(objects)["spec"]) == (not scalers)
    for scaler in scalers:
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == ("Deployment", gateway(objects)["metadata"]["name"])
        metrics = [it.get("resource", {}).get("name") or it["pods"]["metric"]["name"] for it in scaler["spec"]["metrics"]]
        assert metrics == ["cpu", "carillon_connections"]


def test_probes_ask_the_internal_port(objects, values_file):
    container = gateway(objects)["spec"]["template"]["spec"]["containers"][0]
    probes = [container[it] for it in ("startupProbe", "livenessProbe", "readinessProbe")]
    if values_file.stem == "tls":
        asked = [it["exec"]["command"] for it in probes]
        assert asked == [["/carillon", "probe", path] for path in ("/healthz", "/healthz", "/readyz")]
        assert "/carillon" in (DEPLOY / "Dockerfile").read_text(), "where the image has the program"
        return
    asked = [(it["httpGet"]["path"], it["httpGet"]["port"], it["httpGet"]["scheme"]) for it in probes]
    assert asked == [(path, "internal", "HTTP") for path in ("/healthz", "/healthz", "/readyz")]


def test_annotations_of_the_ingress(objects, values_file):
    annotations = {key: value for it in of_kind(objects, "Ingress") for key, value in it["metadata"]["annotations"].items()}
    cookies = [value for value in annotations.values() if value == "carillon-gateway"]
    assert len(cookies) == (values_file.stem == "polling-affinity")
    if values_file.stem == "full":
        assert annotations["haproxy.org/timeout-server"] == "2h", "the values' own win"
    if values_file.stem == "polling-affinity":
        assert annotations["nginx.ingress.kubernetes.io/proxy-next-upstream"] == "off"
