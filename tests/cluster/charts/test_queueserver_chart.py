"""What the chart of a queue server renders, and that the API server takes it."""

from __future__ import annotations

import re
import shlex
import string
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api_server import ApiServer
from helm_charts import ROOT, Helm, Manifest, of_kind, the
from queueserver_cli import grammar, qserver
from queueserver_common.cluster import API_VERSION, MAX_NAME_LENGTH, QUEUE_SERVER_KIND
from queueserver_manager.core.methods import METHODS
from queueserver_operator.names import client_secret

CHART = "queueserver"
PERMISSIONS = (ROOT / "sim_profile" / "user_group_permissions.yaml").read_text()
STARTUP = {path.name: path.read_text() for path in sorted((ROOT / "sim_profile").glob("*.py"))}

ACCEPTED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "simulated": {"environment": {"profile": {"simulated": {}}}},
    "files": {"profileFiles": STARTUP, "permissions": {"inline": PERMISSIONS}},
    "one script of files": {
        "profileFiles": STARTUP,
        "environment": {"profile": {"configMap": {"path": "20-plans.py"}}},
    },
    "existing ConfigMap": {"environment": {"profile": {"configMap": {"name": "startup", "path": "a.py"}}}},
    "volume": {"environment": {"profile": {"persistentVolumeClaim": {"claimName": "startup", "path": "a/b"}}}},
    "image": {
        "manager": {"image": "registry.example.org/manager:1", "imagePullSecrets": [{"name": "registry"}]},
        "environment": {"image": "registry.example.org/i22:1", "profile": {"image": {"module": "i22.startup"}}},
    },
    "a beamline": {
        "name": "i22-1",
        "labels": {"beamline": "i22"},
        "annotations": {"contact": "someone"},
        "keepOnUninstall": True,
        "instrument": "i22",
        "updatePolicy": "OnRestart",
        "permissions": {"configMap": {"name": "permissions"}},
        "existingPlansAndDevices": {"configMap": {"name": "lists"}},
        "redis": {"address": "redis.example.org:6379", "namePrefix": "i22"},
        "storage": {"size": "5Gi", "storageClassName": "fast", "reclaim": "Delete"},
        "network": {
            "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
            "clearInfo": False,
            "legacy": True,
            "policy": {"clients": [{"podSelector": {}}], "workerEgress": [{"ports": [{"port": 5064}]}]},
        },
        "keys": {"control": {"name": "own-key"}},
        "manager": {"logLevel": "VERBOSE", "resources": {"limits": {"cpu": 2, "memory": "1Gi"}}},
        "environment": {
            "hostNetwork": True,
            "epics": {"channelAccess": {"addressList": ["10.0.0.255"], "autoAddressList": False}},
            "home": {"existingClaim": {"claimName": "home", "subPath": "i22"}},
            "env": [{"name": "BEAMLINE", "value": "i22"}],
            "volumes": [{"name": "data", "nfs": {"server": "nfs.example.org", "path": "/data"}}],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            "tolerations": [{"key": "beamline", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "nodeSelector": {"beamline": "i22"},
            "runAsUser": 1500001,
            "fsGroup": 12345678,
            "supplementalGroups": [37000001],
            "annotations": {"k8s.v1.cni.cncf.io/networks": "instrument"},
            "podTemplate": {"spec": {"dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}}},
        },
    },
}
OWN_VALUES = {"name", "labels", "annotations", "keepOnUninstall", "profileFiles", "test"}


def queue_server(helm: Helm, values: dict[str, Any], **place: str) -> Manifest:
    return the(helm.render(CHART, values, **place), QUEUE_SERVER_KIND)


@pytest.mark.parametrize("values", ACCEPTED.values(), ids=ACCEPTED)
def test_the_api_server_takes_what_is_rendered(helm: Helm, api_server: ApiServer, values: dict[str, Any]):
    manifests = helm.render(CHART, values, namespace="default")
    assert {one["metadata"]["namespace"] for one in manifests} == {"default"}
    paths = {
        QUEUE_SERVER_KIND: f"/apis/{API_VERSION}/namespaces/default/queueservers",
        "ConfigMap": "/api/v1/namespaces/default/configmaps",
        "Pod": "/api/v1/namespaces/default/pods",
    }
    for one in manifests:
        answer = api_server.request("POST", paths[one["kind"]], one, dryRun="All")
        assert answer.is_success, answer.text
        assert "Warning" not in answer.headers


@pytest.mark.parametrize("values", ACCEPTED.values(), ids=ACCEPTED)
def test_all_values_but_the_charts_own_are_the_specification(helm: Helm, values: dict[str, Any]):
    spec = queue_server(helm, values)["spec"]
    profile = spec["environment"].pop("profile")
    assert len(profile) == 1
    given_spec = {key: value for key, value in values.items() if key not in OWN_VALUES} | {
        "environment": {key: value for key, value in values.get("environment", {}).items() if key != "profile"}
    }
    assert spec == given_spec


def test_without_a_source_of_startup_code_the_devices_are_simulated(helm: Helm):
    assert queue_server(helm, {})["spec"] == {"environment": {"profile": {"simulated": {}}}}


def test_files_become_a_config_map_that_is_the_source(helm: Helm):
    manifests = helm.render(CHART, ACCEPTED["files"])
    config_map = the(manifests, "ConfigMap")
    assert config_map["data"] == STARTUP
    source = the(manifests, QUEUE_SERVER_KIND)["spec"]["environment"]["profile"]
    assert source == {"configMap": {"name": config_map["metadata"]["name"]}}
    assert the(manifests, QUEUE_SERVER_KIND)["spec"]["permissions"]["inline"] == PERMISSIONS


def test_one_of_the_files_can_be_the_script(helm: Helm):
    source = queue_server(helm, ACCEPTED["one script of files"])["spec"]["environment"]["profile"]
    assert source == {"configMap": {"name": "rel-profile", "path": "20-plans.py"}}


file_names = st.text(alphabet=string.ascii_letters + string.digits + "-_.", min_size=1, max_size=20)
file_texts = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cn"), include_characters="\n\t")
)


@settings(max_examples=20, deadline=None)
@given(files=st.dictionaries(file_names, file_texts, min_size=1, max_size=3))
@example(files={"a.py": "="})
def test_files_arrive_as_they_are(helm: Helm, files: dict[str, str]):
    assert the(helm.render(CHART, {"profileFiles": files}), "ConfigMap")["data"] == files


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"enviroment": {"image": "x"}}, "'enviroment' not allowed"),
        ({"environment": {"profile": {"simulate": {}}}}, "'simulate' not allowed"),
        ({"environment": {"runAsUser": "me"}}, "/environment/runAsUser"),
        ({"environment": {"volumes": [{"name": "a", "nsf": {}}]}}, "'nsf' not allowed"),
        ({"storage": {"reclaim": "Keep"}}, "/storage/reclaim"),
        ({"profileFiles": {"sub/a.py": ""}}, "'sub/a.py' not allowed"),
        ({"name": "a" * (MAX_NAME_LENGTH + 1)}, "more than 40 characters: set the value name"),
        ({"name": "I22"}, "set the value name"),
        (
            {"profileFiles": {"a.py": ""}, "environment": {"profile": {"simulated": {}}}},
            "from profileFiles or from environment.profile: remove one of them",
        ),
        (
            {"profileFiles": {"a.py": ""}, "environment": {"profile": {"configMap": {"name": "x"}}}},
            "remove environment.profile.configMap.name",
        ),
        ({"profileFiles": {"a.py": "#" * 1_000_001}}, "put the startup code on a volume"),
    ],
)
def test_values_that_make_no_sense_are_refused_with_a_sentence(helm: Helm, values: dict[str, Any], said: str):
    assert said in helm.refusal(CHART, values)


@pytest.mark.parametrize(
    "values",
    [
        {"environment": {"profile": {"simulated": {}, "image": {"module": "a"}}}},
        {"environment": {"profile": {"configMap": {}}}},
        {"permissions": {"inline": "a", "configMap": {"name": "b"}}},
        {"environment": {"labels": {"queueserver.blueskyproject.io/x": "y"}}},
    ],
)
def test_what_only_the_api_server_can_tell_is_left_to_it(helm: Helm, api_server: ApiServer, values: dict[str, Any]):
    body = queue_server(helm, values, namespace="default")
    answer = api_server.request("POST", f"/apis/{API_VERSION}/namespaces/default/queueservers", body, dryRun="All")
    assert answer.status_code == 422


@pytest.mark.parametrize("keep", [True, False])
def test_the_queue_server_can_stay_when_the_release_goes(helm: Helm, keep: bool):
    manifests = helm.render(CHART, {"keepOnUninstall": keep, "profileFiles": {"a.py": ""}})
    kept = {
        one["kind"]
        for one in manifests
        if one["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
    }
    assert kept == ({QUEUE_SERVER_KIND, "ConfigMap"} if keep else set())


def test_two_releases_live_side_by_side(helm: Helm):
    values = {"profileFiles": {"a.py": ""}}
    releases = [("i22", "a"), ("b07", "a"), ("i22", "b")]
    found: list[tuple[str, str, str]] = []
    for release, namespace in releases:
        manifests = helm.render(CHART, values, release=release, namespace=namespace)
        found += [(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]) for one in manifests]
    assert len(found) == len(set(found)) == 3 * len(releases)


# helm test and notes -------------------------------------------------------------------------------------------------


def test_helm_test_asks_for_the_status_as_a_client_with_one_line(helm: Helm):
    pod = the(helm.render(CHART, {"test": {"labels": {"role": "client"}}}), "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["metadata"]["labels"]["role"] == "client"
    assert pod["spec"]["automountServiceAccountToken"] is False
    (container,) = pod["spec"]["containers"]
    assert container["command"] == ["qserver", "status"]
    assert container["envFrom"] == [{"secretRef": {"name": client_secret("rel")}}]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, "localhost/queueserver/manager:0.1.0"),
        ({"manager": {"image": "m:1"}}, "m:1"),
        ({"manager": {"image": "m:1"}, "test": {"image": "t:1"}}, "t:1"),
    ],
)
def test_the_test_uses_the_image_of_the_manager_unless_told_otherwise(helm: Helm, values: dict[str, Any], image: str):
    (container,) = the(helm.render(CHART, values), "Pod")["spec"]["containers"]
    assert container["image"] == image


def test_the_test_can_be_left_out(helm: Helm):
    values = {"test": {"enabled": False}}
    assert of_kind(helm.render(CHART, values), "Pod") == []
    assert "helm test" not in helm.notes(CHART, values)


@pytest.mark.parametrize("values", ACCEPTED.values(), ids=ACCEPTED)
def test_the_notes_name_the_objects_of_this_queue_server(helm: Helm, values: dict[str, Any]):
    notes = helm.notes(CHART, values)
    name = values.get("name", "rel")
    assert f"queueserver/{name} " in notes
    assert f"service/{name} 60615 60625" in notes
    assert f"secretRef: {{name: {client_secret(name)}}}" in notes
    (source,) = queue_server(helm, values)["spec"]["environment"]["profile"]
    assert f"profile source {source}." in notes
    assert ("qserver allowed plans" in notes) is (source != "simulated")


def test_the_notes_tell_what_stays(helm: Helm):
    assert "data-rel-manager-0" in helm.notes(CHART)
    assert "data-rel-manager-0" not in helm.notes(CHART, {"storage": {"reclaim": "Delete"}})


def test_qserver_understands_the_commands_in_the_notes(helm: Helm):
    notes = helm.notes(CHART, ACCEPTED["files"])
    lines = [*re.findall(r"^ {4}(qserver .*)$", notes, re.MULTILINE), *re.findall(r"`(qserver [^`]*)`", notes)]
    assert len(lines) == 4
    for line in lines:
        options = qserver._parser().parse_intermixed_args(shlex.split(line)[1:])
        assert grammar.parse(options.command, lock_key=options.lock_key).method in METHODS


# The charts and their documentation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("chart", ["queueserver", "queueserver-operator"])
def test_helm_lint_finds_nothing(helm: Helm, chart: str):
    done = helm.run("lint", "--strict", str(ROOT / "charts" / chart))
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


def helm_commands() -> list[tuple[str, list[str]]]:
    """Subcommand and options of each helm command in the page."""
    page = (ROOT / "docs" / "how-to" / "install-with-helm.md").read_text().replace("\\\n", " ")
    lines = re.findall(r"^ {4}(helm \w+ .*?)(?: \||$)", page, re.MULTILINE) + re.findall(r"`(helm \w+ [^`]*)`", page)
    return [(line.split()[1], re.findall(r"(?<=\s)--?[a-z][\w-]*", line)) for line in lines]


def test_every_option_of_helm_in_the_documentation_exists(helm: Helm):
    commands = helm_commands()
    assert {command for command, _ in commands} == {"install", "upgrade", "uninstall", "template", "test"}
    for command, options in commands:
        printed = helm.run(command, "--help").stdout
        known = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", printed))
        assert set(options) - known == set(), command


def test_every_value_in_the_documentation_exists(helm: Helm):
    page = (ROOT / "docs" / "how-to" / "install-with-helm.md").read_text()
    schema = {
        chart: yaml.safe_load((ROOT / "charts" / chart / "values.schema.json").read_text())
        for chart in ("queueserver", "queueserver-operator")
    }

    def exists(path: list[str], one: dict[str, Any]) -> bool:
        if not path:
            return True
        return path[0] in one.get("properties", {}) and exists(path[1:], one["properties"][path[0]])

    named = re.findall(r"--set(?:-file)? '?([\w.]+?)(?:\.[0-9][^=]*)?=", page)
    named += re.findall(r"`((?:crds|images|storage|environment|profileFiles|lockNamespace)[\w.]*)(?:=\w+)?`", page)
    assert len(named) > 12
    assert [name for name in named if not any(exists(name.split("."), one) for one in schema.values())] == []
