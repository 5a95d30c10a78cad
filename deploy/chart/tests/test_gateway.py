"""The gateway itself reads what the chart gives to its container: `check-config` with the rendered file and environment."""

import os
import pathlib
import subprocess

import pytest

from conftest import CHART, gateway, of_kind, render

SECRETS = {
    "CARILLON_INTERNAL__API_KEYS": '[{name="backend", sha256="%s", scopes=["publish"]}]' % ("0" * 64),
    "CARILLON_REDIS__URL": "rediss://carillon:secret@redis:6379/0",
    "CARILLON_UPSTREAM__SECRET": "0123456789abcdef0123456789abcdef",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What a mounted Secret holds, whichever it is."""
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=node"
    names = ["-addext", "subjectAltName=IP:10.0.0.1", "-keyout", "tls.key", "-out", "tls.crt"]
    subprocess.run([*command.split(), *names], cwd=folder, check=True, capture_output=True)
    certificate, key = (folder / "tls.crt").read_text(), (folder / "tls.key").read_text()
    return {"tls.crt": certificate, "tls.key": key, "ca.crt": certificate, "secret": "0123456789abcdef0123456789abcdef"}


def check_config(objects, files, folder, command="check-config", **more):
    """Lays the container's mounts out below `folder`, and runs the check, or another command, with its environment."""
    pod = gateway(objects)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {it["name"]: it for it in pod["volumes"]}
    moved = lambda text: text.replace("/etc/carillon/", f"{folder}/etc/carillon/")
    for mount in container["volumeMounts"]:
        at = pathlib.Path(moved(mount["mountPath"] + "/"))
        at.mkdir(parents=True)
        volume = volumes[mount["name"]]
        content = files
        if "configMap" in volume:
            maps = {it["metadata"]["name"]: it["data"] for it in of_kind(objects, "ConfigMap")}
            content = maps[volume["configMap"]["name"]]
        for name, text in content.items():
            (at / name).write_text(moved(text))
    environment = {}
    for it in container["env"]:
        if "fieldRef" in it.get("valueFrom", {}):
            environment[it["name"]] = "10.0.0.1"
        elif "valueFrom" in it:
            environment[it["name"]] = SECRETS[it["name"]]
        else:
            environment[it["name"]] = moved(it["value"]).replace("$(POD_IP)", environment["POD_IP"])
    assert container["args"] == ["serve"]
    return subprocess.run([os.environ["CARILLON_BIN"], command], env=environment | more, capture_output=True, text=True)


def test_the_gateway_takes_it(objects, files, tmp_path):
    done = check_config(objects, files, tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_probe_finds_where_it_listens(values_file, objects, files, tmp_path):
    """With the container's mounts and environment. Nobody answers on port 1."""
    done = check_config(objects, files, tmp_path, command="probe", CARILLON_INTERNAL__LISTEN="0.0.0.0:1")
    scheme = "https" if values_file.stem == "tls" else "http"
    assert done.returncode == 1 and f"no answer from {scheme}://127.0.0.1:1/readyz" in done.stderr, done.stderr


def test_a_mistake_in_the_configuration_is_noticed(files, tmp_path):
    values = {"config": '[limits]\nmax_conections = 1\n[drian]\nspread = "1s"'}
    done = check_config(render(CHART / "tests/values/minimal.yaml", values=values), files, tmp_path)
    assert done.returncode == 1 and "max_conections" in done.stdout and "drian" in done.stdout
