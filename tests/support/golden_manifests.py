"""Manifests of some QueueServers as they should be, one file each in tests/unit/operator/golden.

After an intended change: `.venv/bin/python tests/support/golden_manifests.py` writes them anew; read the difference.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / "common"), str(ROOT / "operator")]

from operator_world import OPTIONS, SIMULATED, World  # noqa: E402
from queueserver_operator.model import ApplyObject, CreateKeys, CreateOnly, Options, TakeLease  # noqa: E402

GOLDEN = ROOT / "tests" / "unit" / "operator" / "golden"
SAMPLES = ROOT / "docs" / "samples"

_EVERYTHING: dict[str, Any] = {
    "instrument": "id21",
    "manager": {
        "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "2", "memory": "1Gi"}},
        "nodeSelector": {"role": "services"},
        "env": [{"name": "TZ", "value": "Europe/Berlin"}],
        "podTemplate": {"spec": {"dnsConfig": {"nameservers": ["10.0.0.10"]}}},
        "logLevel": "VERBOSE",
        "historyLimit": 0,
        "auditLimit": 500,
        "metadataKeys": ["/scan_id", "/sample/name"],
        "rootSubmits": False,
    },
    "redis": {"address": "redis.site:6379", "namePrefix": "id21"},
    "storage": {"size": "10Gi", "storageClassName": "fast"},
    "network": {
        "clearInfo": False,
        "legacy": True,
        "service": {"type": "LoadBalancer", "annotations": {"lb": "internal"}},
        "policy": {
            "clients": [{"podSelector": {"matchLabels": {"role": "client"}}}],
            "workerIngress": [{"from": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}],
            "workerEgress": [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}],
        },
    },
    "permissions": {"configMap": {"name": "who"}},
    "existingPlansAndDevices": {"configMap": {"name": "lists", "key": "known.yaml"}},
    "environment": {
        "ipythonKernel": True,
        "hostNetwork": True,
        "profile": {"persistentVolumeClaim": {"claimName": "code", "path": "startup.py"}},
        "home": {"existingClaim": {"claimName": "homes", "subPath": "id21"}},
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "beamline",
        "runtimeClassName": "realtime",
        "serviceAccountName": "data-writer",
        "envFrom": [{"secretRef": {"name": "tiled"}}],
        "epics": {"pvAccess": {"addressList": ["10.1.0.1", "10.1.0.2"], "autoAddressList": True}},
        "podTemplate": {
            "spec": {
                "hostAliases": [{"ip": "10.1.0.3", "hostnames": ["ioc"]}],
                "containers": [{"name": "worker", "securityContext": {"capabilities": {"add": ["SYS_NICE"]}}}],
            }
        },
    },
}

_HTTP: dict[str, Any] = {
    **SIMULATED,
    "network": {"policy": {"clients": [{"podSelector": {"matchLabels": {"role": "client"}}}]}},
    "http": {
        "configuration": {"configMap": {"name": "http-settings"}, "secret": {"name": "http-providers"}},
        "database": {"claim": {"size": "200Mi", "storageClassName": "fast"}},
        "tokenReview": {"groups": {"beamline-staff": ["expert"]}, "users": {"system:serviceaccount:x:y": ["user"]}},
        "resources": {"limits": {"memory": "512Mi"}},
        "service": {"type": "NodePort", "annotations": {"lb": "internal"}},
        "rootPath": "/id21",
    },
}


def cases() -> dict[str, tuple[dict[str, Any], Options]]:
    """Specification and options of the operator by the name of the file."""
    beamline = yaml.safe_load((SAMPLES / "beamline.yaml").read_text())["spec"]
    permissive = Options("i", "1", "m:1", "w:1", lock_namespace="locks", allow_host_network=True)
    return {
        "simulated": (SIMULATED, OPTIONS),
        "beamline": (beamline, OPTIONS),
        "everything": (_EVERYTHING, permissive),
        "http": (_HTTP, OPTIONS),
    }


def manifests(spec: dict[str, Any], options: Options) -> str:
    """Everything that is written for a QueueServer with an environment that runs a plan, in order."""
    world = World(spec, options=options)
    for kind, name in (("PersistentVolumeClaim", "code"), ("PersistentVolumeClaim", "homes"), ("ConfigMap", "lists")):
        world.put(kind, name, {})
    world.put("ConfigMap", "who", {})
    if "http" in spec:
        world.put("ConfigMap", "http-settings", {"data": {"access.yml": "api_access: {}"}})
        world.put("Secret", "http-providers", {"data": {}})
    name = world.opened()
    world.manager_says("executing_queue", "executing_plan", link="connected", environment_name=name, running="count")
    world.settle()
    kinds = ApplyObject | CreateOnly | CreateKeys | TakeLease
    written = [action.manifest for action in world.done if isinstance(action, kinds)]
    return yaml.dump_all(written, Dumper=_Dumper, sort_keys=False, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes everything out; nothing is a reference to something above."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


if __name__ == "__main__":
    for case, (case_spec, case_options) in cases().items():
        (GOLDEN / f"{case}.yaml").write_text(manifests(case_spec, case_options))
