"""A PostgreSQL in the cluster, which can go away and come back with its data."""

from __future__ import annotations

from typing import Any

from cluster_of_tests import Kubectl, restricted_pod
from deadline import wait_until

_PORT = 5432
_USER = "accounts"
_PASSWORD = "password_of_the_database"
_DEADLINE = 90.0

_RUN = f"""
set -e
if [ ! -d /data/postgresql ]; then
    rm -rf /data/new
    initdb -D /data/new -U {_USER} --encoding=UTF8 --locale=C --auth=scram-sha-256 --pwfile=/secret/password
    echo 'host all all all scram-sha-256' >> /data/new/pg_hba.conf
    mv /data/new /data/postgresql
fi
chmod 700 /data/postgresql
exec postgres -D /data/postgresql -k /tmp -c 'listen_addresses=*'
"""
"""Makes the data at the first start; what was interrupted is made anew."""


class ClusterPostgres:
    """A StatefulSet with a Service; `secret` holds the uri under the key `uri`. It has to be started."""

    def __init__(self, cluster: Kubectl, image: str, name: str = "database") -> None:
        self.secret = f"{name}-uri"
        self._cluster = cluster
        self._image = image
        self._name = name

    def create(self) -> None:
        """Make its address, and nothing that answers there."""
        host = f"{self._name}.{self._cluster.namespace}.svc"
        uri = f"postgresql://{_USER}:{_PASSWORD}@{host}:{_PORT}/postgres"
        labels = {"app": self._name}
        self._cluster.apply(
            self._secret(self.secret, uri=uri),
            self._secret(f"{self._name}-password", password=_PASSWORD),
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": self._name},
                "spec": {"selector": labels, "ports": [{"port": _PORT}]},
            },
            {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": {"name": self._name},
                "spec": {
                    "replicas": 0,
                    "serviceName": self._name,
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": self._pod()},
                    "volumeClaimTemplates": [
                        {
                            "metadata": {"name": "data"},
                            "spec": {
                                "accessModes": ["ReadWriteOnce"],
                                "resources": {"requests": {"storage": "100Mi"}},
                            },
                        }
                    ],
                },
            },
        )

    def start(self) -> None:
        """Bring it up, with its data as they were, and wait until it answers."""
        self._scale(1)
        self._cluster("rollout", "status", f"statefulset/{self._name}", f"--timeout={_DEADLINE:.0f}s", seconds=120)

    def stop(self) -> None:
        """Take it away and wait until it is gone; connections to its Service are refused."""
        self._scale(0)
        wait_until(lambda: self._cluster.get("pod", f"{self._name}-0") is None, "the database is gone", _DEADLINE)

    def _scale(self, replicas: int) -> None:
        self._cluster("scale", f"statefulset/{self._name}", f"--replicas={replicas}")

    @staticmethod
    def _secret(name: str, **data: str) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}

    def _pod(self) -> dict[str, Any]:
        pod = restricted_pod("postgresql", self._image, ["sh", "-c", _RUN], writable=["/tmp"], restartPolicy="Always")
        spec: dict[str, Any] = pod["spec"]
        spec["terminationGracePeriodSeconds"] = 30
        [container] = spec["containers"]
        ready = {"exec": {"command": ["pg_isready", "--host=127.0.0.1"]}}
        container["readinessProbe"] = {**ready, "periodSeconds": 1, "timeoutSeconds": 10}
        container["resources"] = {"requests": {"cpu": "20m"}}
        container["volumeMounts"] += [
            {"name": "data", "mountPath": "/data"},
            {"name": "password", "mountPath": "/secret", "readOnly": True},
        ]
        spec["volumes"].append({"name": "password", "secret": {"secretName": f"{self._name}-password"}})
        return spec
