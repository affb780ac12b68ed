"""QueueServers that cannot work say what to change; others and the operator are unaffected."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from cluster_beamline import DEADLINE, Beamline
from deadline import wait_until
from helm_release import OPERATOR_NAMESPACE, Releases

pytestmark = pytest.mark.timeout(400)

REFUSED = [
    ({"environment": {}}, "profile"),
    ({"environment": {"profile": {}}}, "exactly one"),
    ({"environment": {"profile": {"simulated": {}, "configMap": {"name": "code"}}}}, "exactly one"),
    ({"environment": {"profile": {"simulated": {}}}, "permissions": {}}, "exactly one"),
    ({"environment": {"profile": {"simulated": {}}}, "updatePolicy": "Sometimes"}, "WhenIdle"),
    (
        {"environment": {"profile": {"simulated": {}}, "destroyGraceSeconds": 60, "terminationGracePeriodSeconds": 5}},
        "destroyGraceSeconds is at most",
    ),
]

BROKEN = {
    "image": ({"manager": {"image": "localhost/queueserver/nowhere:0"}}, "ImageCannotBePulled", "nowhere:0"),
    "profile": ({"environment": {"profile": {"configMap": {"name": "no-code"}}}}, "ProfileNotFound", "no-code"),
    "keys": ({"keys": {"control": {"name": "no-keys"}}}, "SecretNotFound", "no-keys"),
    "network": (
        {"environment": {"profile": {"simulated": {}}, "hostNetwork": True}},
        "HostNetworkNotPermitted",
        "hostNetwork",
    ),
    "account": ({"manager": {"serviceAccountName": "nobody"}}, "PodCannotBeMade", "nobody"),
    "template": ({"manager": {"podTemplate": {"spec": {"nodeSelectr": {}}}}}, "ObjectRefused", "nodeSelectr"),
    "place": ({"manager": {"nodeSelector": {"beamline": "nowhere"}}}, "Unschedulable", "node"),
}


@pytest.mark.parametrize(("spec", "sentence"), REFUSED)
def test_what_can_be_told_from_the_specification_alone_is_refused_at_apply(
    operator: Releases, new_beamline: Callable[[], Beamline], spec: dict[str, Any], sentence: str
):
    with pytest.raises(AssertionError) as refusal:
        new_beamline().apply(**spec)
    assert sentence in str(refusal.value)


def test_what_cannot_work_says_why_and_disturbs_nobody(new_beamline: Callable[[str], Beamline], operator: Releases):
    good = new_beamline("good").start()
    system = operator.cluster.within(OPERATOR_NAMESPACE)
    before = [pod["metadata"]["uid"] for pod in system.find("pods", "app.kubernetes.io/name=queueserver-operator")]
    for name, (spec, _, _) in BROKEN.items():
        new_beamline(name).apply(**spec)
    for name, (_, reason, words) in BROKEN.items():

        def ready(name: str = name) -> tuple[str, str, str]:
            return good.condition("queueserver", name, "Ready")

        def says_so(reason: str = reason, words: str = words) -> bool:
            status, why, message = ready()
            return status == "False" and why == reason and words in message

        wait_until(says_so, f"{name} says {reason}", DEADLINE)
    good.open_environment()
    good.run_held_plan()
    good.let_go()
    assert good.wait_history(1)[0]["result"]["exit_status"] == "completed"
    pods = system.find("pods", "app.kubernetes.io/name=queueserver-operator")
    assert [pod["metadata"]["uid"] for pod in pods] == before
    assert [one["restartCount"] for pod in pods for one in pod["status"]["containerStatuses"]] == [0]


def test_a_profile_that_was_not_there_heals_the_queue_server_when_it_comes(
    new_beamline: Callable[[], Beamline],
):
    beamline = new_beamline()
    beamline.apply(environment={"profile": {"configMap": {"name": "later"}}})
    wait_until(
        lambda: beamline.condition("queueserver", beamline.name, "Ready")[1] == "ProfileNotFound",
        "it says that the profile is missing",
        DEADLINE,
    )
    code = "from bluesky import RunEngine\nRE = RunEngine({})\n"
    later = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}, "data": {"00.py": code}}
    beamline.cluster.apply(later)
    beamline.wait_ready()


def test_no_key_is_ever_in_a_log_or_a_status(open_beamline: Beamline, operator: Releases):
    system = operator.cluster.within(OPERATOR_NAMESPACE)
    secrets = open_beamline.cluster.find("secrets")
    private = [one["data"]["private_key"] for one in secrets if "private_key" in one.get("data", {})]
    assert len(private) == 3
    written = [
        system("logs", "deployment/queueserver-operator"),
        open_beamline.cluster.logs(open_beamline.manager_pod, "manager"),
        open_beamline.cluster.logs(open_beamline.environment),
        open_beamline.cluster(
            "get", "queueservers,workerenvironments,configmaps,pods,statefulsets", "--output", "json"
        ),
    ]
    for key in private:
        text = base64.b64decode(key).decode()
        assert not [one for one in written if key in one or text in one]
