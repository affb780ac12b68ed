"""The API server cannot be reached for a while, and things change meanwhile."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from api_server import ApiServer
from cuttable_proxy import cuttable_proxy
from operator_process import running_operator, until
from queueserver_operator.kinds import QUEUE_SERVER, SERVICE, STATEFUL_SET, Kind


def through(kubeconfig: Path, port: int, directory: Path) -> Path:
    """The same kubeconfig with another port."""
    content = yaml.safe_load(kubeconfig.read_text())
    content["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    path = directory / "kubeconfig-through-the-proxy"
    path.write_text(yaml.safe_dump(content))
    return path


def create(server: ApiServer, namespace: str, name: str) -> None:
    body = {
        "apiVersion": QUEUE_SERVER.api_version,
        "kind": "QueueServer",
        "metadata": {"name": name},
        "spec": {"environment": {"profile": {"simulated": {}}}},
    }
    assert server.create(QUEUE_SERVER.path(namespace), body).is_success


def exists(server: ApiServer, kind: Kind, namespace: str, name: str) -> bool:
    return server.http.get(kind.path(namespace, name)).is_success


@pytest.mark.timeout(120)
def test_changes_during_an_interruption_are_made_up_for_afterwards(
    api_server: ApiServer, kubeconfig: Path, namespace: str, tmp_path: Path
) -> None:
    target = urlsplit(api_server.url).port
    assert target is not None
    with (
        cuttable_proxy(target) as proxy,
        running_operator(through(kubeconfig, proxy.port, tmp_path), tmp_path, NAMESPACES=namespace) as operator,
    ):
        for name in ("changed", "deleted"):
            create(api_server, namespace, name)
            until(lambda name=name: exists(api_server, STATEFUL_SET, namespace, f"{name}-manager"))
        proxy.cut()
        assert api_server.http.delete(STATEFUL_SET.path(namespace, "changed-manager")).is_success
        assert api_server.http.delete(QUEUE_SERVER.path(namespace, "deleted")).is_success
        create(api_server, namespace, "new")
        assert operator.get("/healthz").is_success, "a restart would not help"
        proxy.mend()
        until(lambda: exists(api_server, STATEFUL_SET, namespace, "changed-manager"), 60)
        until(lambda: not exists(api_server, QUEUE_SERVER, namespace, "deleted"), 60)
        until(lambda: exists(api_server, SERVICE, namespace, "new"), 60)
        assert operator.process.poll() is None


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_watch_that_falls_silent_is_noticed_and_begun_anew(
    api_server: ApiServer, kubeconfig: Path, namespace: str, tmp_path: Path
) -> None:
    target = urlsplit(api_server.url).port
    assert target is not None
    with (
        cuttable_proxy(target) as proxy,
        running_operator(through(kubeconfig, proxy.port, tmp_path), tmp_path, NAMESPACES=namespace) as operator,
    ):
        create(api_server, namespace, "q")
        until(lambda: exists(api_server, STATEFUL_SET, namespace, "q-manager"))
        proxy.forget()
        create(api_server, namespace, "new")
        until(lambda: exists(api_server, SERVICE, namespace, "new"), 200)
        assert operator.process.poll() is None
