"""The manifests that the operator writes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from golden_manifests import GOLDEN, cases, manifests
from queueserver_operator.build.parts import digest
from queueserver_operator.build.patch import merge
from queueserver_operator.names import lease
from queueserver_operator.spec import QueueServerSpec

EVERYTHING = {name: list(yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text())) for name in cases()}


def of_kind(case: str, kind: str) -> list[dict[str, Any]]:
    return [one for one in EVERYTHING[case] if one["kind"] == kind]


def pods(case: str) -> list[dict[str, Any]]:
    made_of_templates = [*of_kind(case, "StatefulSet")[:1], *of_kind(case, "Deployment")[:1]]
    return [*(one["spec"]["template"]["spec"] for one in made_of_templates), of_kind(case, "Pod")[0]["spec"]]


@pytest.mark.parametrize("case", cases())
def test_the_manifests_are_those_in_the_golden_file(case: str):
    written = manifests(*cases()[case])
    assert written == (GOLDEN / f"{case}.yaml").read_text(), "intended? then run tests/support/golden_manifests.py"


# Security ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["simulated", "beamline", "http"])
def test_every_pod_is_restricted(case: str):
    for pod in pods(case):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }


@pytest.mark.parametrize("case", cases())
def test_keys_are_files_for_the_group_and_never_variables(case: str):
    for pod in pods(case):
        secrets = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
        assert secrets
        assert {one["defaultMode"] for one in secrets} == {0o440}
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert not any("secretKeyRef" in str(one) for one in container.get("env", []))


@pytest.mark.parametrize("case", cases())
def test_every_mount_has_its_volume(case: str):
    claims = [one["metadata"]["name"] for one in of_kind(case, "StatefulSet")[0]["spec"]["volumeClaimTemplates"]]
    for pod in pods(case):
        volumes = {volume["name"] for volume in pod["volumes"]} | set(claims)
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


TABLE = [
    # who, to whom, port, may
    ("anybody", "manager", 60615, True),
    ("anybody", "manager", 60625, True),
    ("anybody", "manager", 60626, True),
    ("anybody", "manager", 60635, False),
    ("anybody", "manager", 8080, False),
    ("anybody", "manager", 6379, False),
    ("worker", "manager", 60635, True),
    ("anybody", "worker", 1, False),
    ("manager", "worker", 1, False),
]


@pytest.mark.parametrize(("who", "whom", "port", "may"), TABLE)
def test_who_may_talk_to_whom(who: str, whom: str, port: int, may: bool):
    (policy,) = [one for one in of_kind("simulated", "NetworkPolicy") if one["metadata"]["name"] == f"q-{whom}"]
    prefix = "queueserver.blueskyproject.io"
    labels = {} if who == "anybody" else {f"{prefix}/queueserver": "q", f"{prefix}/component": who}
    allowed = any(
        port in [one["port"] for one in rule["ports"]]
        and all(peer["podSelector"]["matchLabels"].items() <= labels.items() for peer in rule.get("from", []))
        for rule in policy["spec"]["ingress"]
    )
    assert "Ingress" in policy["spec"]["policyTypes"]
    assert allowed is may


def test_a_worker_reaches_everything_unless_the_specification_says_what():
    (worker,) = [one for one in of_kind("simulated", "NetworkPolicy") if one["metadata"]["name"] == "q-worker"]
    assert worker["spec"]["policyTypes"] == ["Ingress"]
    (worker,) = [one for one in of_kind("everything", "NetworkPolicy") if one["metadata"]["name"] == "q-worker"]
    link, dns, devices = worker["spec"]["egress"]
    assert link["ports"] == [{"port": 60635, "protocol": "TCP"}]
    assert {one["port"] for one in dns["ports"]} == {53}
    assert devices == {"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}


# Redis ---------------------------------------------------------------------------------------------------------------


def test_redis_is_a_sidecar_that_only_the_manager_reaches():
    (redis,) = pods("simulated")[0]["initContainers"]
    assert redis["restartPolicy"] == "Always"
    assert redis["args"][:2] == ["--port", "0"]
    assert "ports" not in redis
    settings = dict(zip(redis["args"][::2], redis["args"][1::2], strict=True))
    assert (settings["--appendonly"], settings["--appendfsync"]) == ("yes", "always")


def test_an_external_redis_has_no_sidecar():
    pod = pods("everything")[0]
    assert "initContainers" not in pod
    config = yaml.safe_load(of_kind("everything", "ConfigMap")[0]["data"]["config.yml"])
    assert config["network"]["redis_addr"] == "redis.site:6379"
    assert config["network"]["redis_name_prefix"] == "id21"


def test_a_kernel_listens_inside_of_the_workers_pod_alone():
    told = json.loads(of_kind("everything", "ConfigMap")[-1]["data"]["worker.json"])
    assert told["kernel"] == {"ip": "127.0.0.1", "connection_dir": "/tmp/kernel"}
    assert json.loads(of_kind("simulated", "ConfigMap")[-1]["data"]["worker.json"])["kernel"] is None


def test_what_is_said_of_records_and_permissions_is_in_the_managers_configuration_and_nothing_else():
    config = yaml.safe_load(of_kind("everything", "ConfigMap")[0]["data"]["config.yml"])
    said = {"history_limit": 0, "audit_limit": 500, "root_submits": False, "legacy_addr": "tcp://*:5555"}
    assert {name: config["service"][name] for name in said} == said
    assert config["worker"] == {
        "permitted_re_metadata_keys": ["/scan_id", "/sample/name"],
        "use_ipython_kernel": True,
    }
    plain = yaml.safe_load(of_kind("simulated", "ConfigMap")[0]["data"]["config.yml"])
    assert plain["service"].keys() == config["service"].keys() - said.keys()
    assert "worker" not in plain


# Pieces --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi", "cpu": "200m"}}),
        (
            {"limits": {"cpu": "2", "memory": "4Gi"}},
            {"limits": {"cpu": "2", "memory": "4Gi"}, "requests": {"cpu": "2", "memory": "4Gi"}},
        ),
        (
            {"limits": {"cpu": "2"}, "requests": {"cpu": "100m"}},
            {"limits": {"memory": "1Gi", "cpu": "2"}, "requests": {"memory": "1Gi", "cpu": "100m"}},
        ),
        ({"requests": {"memory": "2Gi"}}, {"requests": {"cpu": "200m", "memory": "2Gi"}}),
    ],
)
def test_requests_that_are_not_given_equal_the_limits(given: dict[str, Any], expected: dict[str, Any]):
    body = {"spec": {"environment": {"resources": given}}}
    assert QueueServerSpec.parse(body).environment.pod.resources == expected


def test_a_hash_does_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_names_of_locks_are_readable_and_different():
    assert lease("id7").startswith("instrument-id7-")
    assert lease("ID 7") != lease("id-7")
    assert len(lease("x" * 200)) <= 63
    assert lease("äöü").startswith("instrument-")


BASE = {
    "containers": [{"name": "worker", "env": [{"name": "A", "value": "1"}], "image": "x"}],
    "tolerations": [{"key": "a"}],
    "dnsPolicy": "ClusterFirst",
}


@pytest.mark.parametrize(
    ("patch", "field", "expected"),
    [
        ({"dnsPolicy": None}, "dnsPolicy", None),
        ({"tolerations": [{"key": "b"}]}, "tolerations", [{"key": "b"}]),
        (
            {"containers": [{"name": "worker", "env": [{"name": "B", "value": "2"}]}]},
            "containers",
            [
                {
                    "name": "worker",
                    "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                    "image": "x",
                }
            ],
        ),
        (
            {"containers": [{"name": "worker", "env": [{"name": "A", "$patch": "delete"}]}]},
            "containers",
            [{"name": "worker", "env": [], "image": "x"}],
        ),
        (
            {"containers": [{"name": "beside", "image": "y"}]},
            "containers",
            [*BASE["containers"], {"name": "beside", "image": "y"}],
        ),
        ({"affinity": {"nodeAffinity": {}}}, "affinity", {"nodeAffinity": {}}),
    ],
)
def test_a_pod_template_is_a_strategic_merge_patch(patch: dict[str, Any], field: str, expected: Any):
    merged = merge(BASE, patch)
    assert merged.get(field) == expected
    assert {key: value for key, value in merged.items() if key != field} == {
        key: value for key, value in BASE.items() if key != field
    }


def test_a_pod_template_cannot_take_the_guards_away():
    for pod in pods("everything")[1:]:
        assert pod["restartPolicy"] == "Never"
        assert pod["schedulingGates"] == [{"name": "queueserver.blueskyproject.io/recorded"}]
        assert pod["automountServiceAccountToken"] is False


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2), max_leaves=4
)


@given(st.dictionaries(st.text(max_size=2), VALUES, max_size=4))
def test_an_empty_patch_changes_nothing(base: dict[str, Any]):
    assert merge(base, {}) == base
