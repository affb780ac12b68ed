"""What becomes of a worker's pod from environment_open to its end, and what is in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from cluster_beamline import DEADLINE, NOTICED, Beamline
from cluster_of_tests import Kubectl, restricted_pod
from deadline import wait_until
from queueserver_common.cluster import COMPONENT_LABEL, QUEUE_SERVER_LABEL

pytestmark = pytest.mark.timeout(400)

WORKERS = f"{COMPONENT_LABEL}=worker"
DESTROY_GRACE = 5.0
"""Seconds until a worker that does not end by itself is killed."""
SMALL = {"requests": {"cpu": "20m"}, "limits": {"memory": "768Mi"}}

FRESH: dict[str, Any] = {"emptyDir": {}}
"""A home with nothing in it."""

SCRIPT = '''
import time
from pathlib import Path

from bluesky import RunEngine
from bluesky.plans import count
from ophyd.sim import det

scans = Path.home() / "scans"


def next_scan(metadata):
    """Count on from what the environment before left in HOME."""
    number = int(scans.read_text()) + 1 if scans.exists() else 1
    scans.write_text(str(number))
    return number


RE = RunEngine({}, scan_id_source=next_scan)


def block():
    """Keep the interpreter's main thread busy, deaf to every request."""
    yield from count([det])
    time.sleep(3600)
'''


def names(cluster: Kubectl, kind: str, selector: str = "") -> list[str]:
    return [one["metadata"]["name"] for one in cluster.find(kind, selector)]


def nothing_of_an_opening(beamline: Beamline) -> bool:
    """Whether pod, WorkerEnvironment and ConfigMap of every opening are gone."""
    cluster = beamline.cluster
    return not (
        names(cluster, "workerenvironments") or names(cluster, "pods", WORKERS) or names(cluster, "configmaps", WORKERS)
    )


def run_plan(beamline: Beamline, name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Run one plan of the queue to its end and return its history entry."""
    before = beamline.status()["items_in_history"]
    beamline.add_plan(name, *args, **kwargs)
    beamline.accepted("queue_start")
    item = beamline.wait_history(before + 1)[-1]
    assert item["result"]["exit_status"] == "completed", item["result"]
    return item


PERMISSIONS = {
    "inline": """
user_groups:
  root: {allowed_plans: [null], allowed_devices: [null]}
  primary: {allowed_plans: [null], allowed_devices: [null]}
"""
}


@pytest.fixture(scope="module")
def beamline_spec() -> dict[str, Any]:
    return {"permissions": PERMISSIONS}


@pytest.fixture
def scripted(beamline: Beamline) -> Beamline:
    """A QueueServer with `SCRIPT` and a client beside it."""
    beamline.change(profile=startup(beamline, SCRIPT), resources=SMALL)
    return beamline


def startup(beamline: Beamline, text: str) -> dict[str, Any]:
    """A profile of one file, or the same profile with another text."""
    files = {"startup.py": text}
    beamline.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": files})
    return {"configMap": {"name": "code"}}


# Openings ------------------------------------------------------------------------------------------------------------


def test_open_makes_a_pod_and_close_deletes_it_and_home_and_scan_numbers_go_on(scripted: Beamline):
    beamline, cluster = scripted, scripted.cluster
    assert nothing_of_an_opening(beamline)

    beamline.open_environment()
    first = beamline.environment
    (pod,) = cluster.find("pods", f"{WORKERS},{QUEUE_SERVER_LABEL}={beamline.name}")
    environment = cluster.get("workerenvironment", first)
    assert environment
    assert pod["metadata"]["name"] == first
    assert pod["metadata"]["uid"] == environment["status"]["pod"]["uid"]
    assert [owner["uid"] for owner in pod["metadata"]["ownerReferences"]] == [environment["metadata"]["uid"]]
    assert names(cluster, "configmaps", WORKERS) == [first]
    assert run_plan(beamline, "count", ["det"])["result"]["scan_ids"] == [1]
    beamline.in_worker("sh", "-c", "echo kept > ~/kept")

    beamline.close_environment()
    wait_until(lambda: nothing_of_an_opening(beamline), "nothing of the first opening is left", DEADLINE)

    beamline.open_environment()
    assert beamline.environment != first
    assert beamline.in_worker("sh", "-c", "cat $HOME/kept") == "kept\n"
    assert run_plan(beamline, "count", ["det"])["result"]["scan_ids"] == [2]

    beamline.accepted("environment_destroy")
    beamline.wait_closed()
    wait_until(lambda: nothing_of_an_opening(beamline), "nothing of the second opening is left", DEADLINE)


def test_destroy_ends_a_worker_that_is_deaf_and_takes_its_pod_with_it(scripted: Beamline):
    beamline = scripted
    beamline.open_environment()
    beamline.add_plan("block")
    beamline.accepted("queue_start")
    beamline.wait_status(lambda status: status["manager_state"] == "executing_queue", "the plan runs")
    asked = time.time()
    beamline.accepted("environment_destroy")
    beamline.wait_closed()
    wait_until(lambda: nothing_of_an_opening(beamline), "nothing of the opening is left", DEADLINE)
    (item,) = beamline.history()
    assert item["result"]["exit_status"] == "failed"
    assert item["result"]["time_stop"] - asked <= DESTROY_GRACE + NOTICED
    assert [item["name"] for item in beamline.queue()] == ["block"]


# Startup code --------------------------------------------------------------------------------------------------------


def simulated(beamline: Beamline) -> dict[str, Any]:
    return {"profile": {"simulated": {}}}


def one_script_of_a_config_map(beamline: Beamline) -> dict[str, Any]:
    files = {"profile.py": SCRIPT, "ignored.py": "raise RuntimeError('this file is not named')"}
    beamline.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "scripts"}, "data": files})
    return {"profile": {"configMap": {"name": "scripts", "path": "profile.py"}}}


def directory_on_a_claim(beamline: Beamline) -> dict[str, Any]:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "code"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}},
    }
    writer = restricted_pod("writer", beamline.images["worker"], ["sh", "-c", WRITE])
    writer["spec"]["volumes"] = [{"name": "code", "persistentVolumeClaim": {"claimName": "code"}}]
    writer["spec"]["containers"][0]["volumeMounts"] = [{"name": "code", "mountPath": "/code"}]
    beamline.cluster.apply(claim, writer)
    beamline.cluster.wait("pod", "writer", "jsonpath={.status.phase}=Succeeded", DEADLINE)
    return {"profile": {"persistentVolumeClaim": {"claimName": "code", "path": "beamline/startup"}}}


WRITE = f"mkdir -p /code/beamline/startup && cat > /code/beamline/startup/00.py <<'END'\n{SCRIPT}\nEND\n"


def directory_in_the_image(beamline: Beamline) -> dict[str, Any]:
    return {"image": beamline.images["beamline"], "profile": {"image": {"path": "/opt/beamline/startup"}}}


@pytest.mark.parametrize(
    ("environment", "source", "plan"),
    [
        (simulated, "simulated", ("count", ["det1"])),
        (one_script_of_a_config_map, "configMap/scripts/profile.py", ("count", ["det"])),
        (directory_on_a_claim, "persistentVolumeClaim/code/beamline/startup", ("count", ["det"])),
        (directory_in_the_image, "image/opt/beamline/startup", ("absorption_edge", 3)),
    ],
    ids=["simulated", "configMap", "persistentVolumeClaim", "image"],
)
def test_startup_code_comes_from_where_the_specification_says(
    beamline: Beamline, environment: Callable[[Beamline], dict[str, Any]], source: str, plan: tuple[Any, ...]
):
    beamline.change(**environment(beamline), resources=SMALL, home=FRESH)
    beamline.open_environment()
    assert run_plan(beamline, *plan)["result"]["scan_ids"] == [1]
    queue_server = beamline.cluster.get("queueserver", beamline.name)
    assert queue_server
    assert queue_server["status"]["profile"]["source"] == source


def test_startup_code_that_fails_is_told_with_its_last_lines_and_the_next_opening_takes_the_mended_one(
    beamline: Beamline,
):
    beamline.change(profile=startup(beamline, "raise ValueError('no such motor')"), resources=SMALL)
    beamline.accepted("environment_open")
    failed = beamline.wait_status(lambda status: status["environment_error"], "the opening has failed")
    assert "no such motor" in failed["environment_error"]
    told = lambda: beamline.condition("workerenvironment", beamline.environment, "Stalled")  # noqa: E731
    wait_until(lambda: told()[:2] == ("True", "EnvironmentFailed"), "the condition tells it", DEADLINE)
    assert "no such motor" in told()[2]
    beamline.wait_closed()
    startup(beamline, SCRIPT)
    beamline.open_environment()


# What is in the pod --------------------------------------------------------------------------------------------------


def test_what_a_plan_prints_is_in_the_log_of_the_pod_and_on_the_info_socket(beamline: Beamline):
    beamline.change(profile=startup(beamline, SCRIPT + SPEAKING_PLAN), resources=SMALL)
    beamline.open_environment()
    cluster = beamline.cluster
    listen = f'/opt/client/bin/python -u -c "{LISTEN}" > /tmp/heard 2>&1 &'
    cluster.run_in(beamline.client, "sh", "-c", listen)

    def heard() -> bool:
        # A subscription takes a moment to reach the manager, so the first plan may go unheard.
        run_plan(beamline, "speak")
        return "the plan speaks" in cluster.run_in(beamline.client, "cat", "/tmp/heard")

    wait_until(heard, "a client has heard the plan", DEADLINE)
    assert "the plan speaks" in cluster.logs(beamline.environment)


SPEAKING_PLAN = """
def speak():
    print("the plan speaks")
    yield from count([det])
"""
LISTEN = """
from bluesky_queueserver_api.zmq import REManagerAPI
manager = REManagerAPI()
manager.console_monitor.enable()
while True: print(manager.console_monitor.next_msg(60)['msg'])
"""


def test_the_pod_is_what_the_template_says_and_restricted(beamline: Beamline):
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"COLOUR": "blue"}}
    beamline.cluster.apply(settings)
    template = {
        "resources": {"requests": {"cpu": "20m"}, "limits": {"cpu": "1", "memory": "768Mi"}},
        "env": [{"name": "SAMPLE", "value": "copper"}],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "volumes": [{"name": "extra", "configMap": {"name": "settings"}}],
        "volumeMounts": [{"name": "extra", "mountPath": "/data/settings"}],
        "runAsUser": 51500,
        "runAsGroup": 51501,
        "fsGroup": 51502,
        "supplementalGroups": [40015, 40016],
        "labels": {"beamline": "id15"},
        "annotations": {"k8s.v1.cni.cncf.io/networks": "detectors"},
        "terminationGracePeriodSeconds": 17,
        "epics": {"channelAccess": {"autoAddressList": False, "nameServers": ["gateway:5064"]}},
        "profile": startup(beamline, SCRIPT),
        "podTemplate": {"spec": {"hostAliases": [{"ip": "10.1.2.3", "hostnames": ["ioc"]}]}},
    }
    beamline.change(**template)
    beamline.open_environment()

    pod = beamline.cluster.get("pod", beamline.environment)
    assert pod
    spec, (container,) = pod["spec"], pod["spec"]["containers"]
    assert pod["metadata"]["labels"]["beamline"] == "id15"
    assert pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] == "detectors"
    assert container["resources"] == template["resources"] | {"requests": {"cpu": "20m", "memory": "768Mi"}}
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False
    assert spec["terminationGracePeriodSeconds"] == 17
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }

    inside = beamline.in_worker("sh", "-c", LOOK_AROUND).splitlines()
    assert inside[:3] == ["51500", "51501", "40015 40016 51501 51502"]
    assert inside[3:] == [
        "copper blue gateway:5064 NO",
        "blue",
        "ioc 10.1.2.3",
        "written: /tmp /home/queueserver /var/lib/queueserver/spool",
        "no token",
        "capabilities 0000000000000000",
        "no new privileges 1",
    ]


LOOK_AROUND = """
id -u; id -g; echo $(id -G | tr ' ' '\\n' | sort -n)
echo $SAMPLE $COLOUR $EPICS_CA_NAME_SERVERS $EPICS_CA_AUTO_ADDR_LIST
cat /data/settings/COLOUR; echo
echo ioc $(getent hosts ioc | cut -d' ' -f1)
written=
for folder in / /opt/queueserver /etc /tmp "$HOME" /var/lib/queueserver/spool /data/settings; do
    if touch "$folder/probe" 2>/dev/null; then written="$written $folder"; rm "$folder/probe"; fi
done
echo "written:$written"
test -e /var/run/secrets/kubernetes.io || echo no token
echo capabilities $(sed -n 's/^CapEff:\\s*//p' /proc/1/status)
echo no new privileges $(sed -n 's/^NoNewPrivs:\\s*//p' /proc/1/status)
"""
