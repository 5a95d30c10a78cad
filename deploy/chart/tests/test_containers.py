"""The image and the compose file, as far as they can be judged without an engine."""

import re
import shutil
import subprocess

import yaml

from conftest import DEPLOY

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
BALANCER = (DEPLOY / "balancer/haproxy.cfg").read_text()


def test_the_image_is_the_program_and_nobody_is_root():
    final = re.split(r"^FROM ", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)[-1].splitlines()
    assert final == [
        "scratch",
        "COPY --from=parts /image/ /",
        "USER 65532:65532",
        "EXPOSE 8080 9100",
        'ENTRYPOINT ["/carillon"]',
        'CMD ["serve"]',
    ]


def test_every_container_is_hardened():
    assert sorted(SERVICES) == ["gateway1", "gateway2", "gateway3", "haproxy", "redis"]
    for name, service in SERVICES.items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"] and service["cpus"], name
        # the gateway's image has its own user
        assert ("user" in service) == (service["image"] != "carillon"), name


def test_only_the_balancer_is_open_to_others():
    ports = {port for service in SERVICES.values() for port in service.get("ports", [])}
    assert {port for port in ports if not port.startswith("127.0.0.1:")} == {"8080:8080"}


def test_what_is_mounted_and_built_is_there():
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, _, mode = volume.split(":")
            assert (DEPLOY / source).is_file() and mode == "ro"
    build = SERVICES["gateway1"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")


def test_the_balancer_knows_every_gateway():
    environment = SERVICES["haproxy"]["environment"]
    assert set(re.findall(r'"\$\{(\w+)\}"', BALANCER)) == set(environment)
    addresses = [SERVICES[f"gateway{n}"]["networks"]["default"]["ipv4_address"] for n in (1, 2, 3)]
    assert [environment[f"NODE{n}"] for n in (1, 2, 3)] == [f"{it}:8080" for it in addresses]
    assert [environment[f"READY{n}"] for n in (1, 2, 3)] == [f"{it}:9100" for it in addresses]
    own = SERVICES["haproxy"]["networks"]["default"]["ipv4_address"]
    assert own in SERVICES["gateway1"]["environment"]["CARILLON_PUBLIC__TRUSTED_PROXIES"]
    haproxy = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
    subprocess.run([haproxy, "-c", "-f", DEPLOY / "balancer/haproxy.cfg"], env=environment, check=True, capture_output=True)


def test_gateways_differ_in_what_they_are_called_alone():
    environments = [SERVICES[f"gateway{n}"]["environment"] for n in (1, 2, 3)]
    assert [it.pop("CARILLON_CLUSTER__ADVERTISE") for it in environments] == [f"gateway{n}:9100" for n in (1, 2, 3)]
    assert environments[0] == environments[1] == environments[2]
