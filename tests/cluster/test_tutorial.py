"""The tutorial for Kubernetes, typed as it stands: its commands succeed and print what the page prints.

What depends on the time or is drawn by lot is left out of the comparison: ages, times, ids. Commands that only look are
repeated, as the page tells its readers, until they show what the page shows.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster_of_tests import OUTPUT, ROOT, Kubectl, file_of_cluster
from deadline import wait_until
from helm_charts import find_helm

pytestmark = pytest.mark.timeout(900)

PAGE = ROOT / "docs" / "tutorials" / "a-queue-in-kubernetes.md"
NAMESPACE = "tutorial"
VALUES = "operator-values.json"
BLOCK = re.compile(r"^```(bash|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LOOKS = ("kubectl get", "kubectl logs", "qserver status", "http /history")
"""Commands that change nothing."""
REMEMBERED = re.compile(r"\w+\(\) ")
"""Definitions of functions, which hold for the rest of the page."""
SETTLING = 120.0
"""Seconds until a state that follows is shown; on the machine of a reader it takes a few."""

CHANGING = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UID"),
    (re.compile(r"\bdemo-[0-9a-f]{10}\b"), "demo-OPENING"),
    (re.compile(r"\bdemo-http-[0-9a-z]+-[0-9a-z]{5}\b"), "demo-http-POD"),
    (re.compile(r"\b1\d{9}\.\d+"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+"), "TIME"),
    (re.compile(r"\b\d\d:\d\d:\d\d(\.\d+)?"), "TIME"),
    (re.compile(r"(?<= )\d+[smh](\d+[sm])?(?= |$)"), "AGE"),
)


@dataclass(frozen=True)
class Step:
    """A command of the page, and what the page says that it prints; None where the page says nothing."""

    command: str
    output: str | None


def steps(page: Path) -> Iterator[Step]:
    for language, block in BLOCK.findall(page.read_text()):
        if language == "bash":
            yield Step(block, None)
            continue
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield Step(command, output)


def words(text: str) -> str:
    """The words of an output, without what is different every time."""
    joined = " ".join(text.split())
    for pattern, name in CHANGING:
        joined = pattern.sub(name, joined)
    return joined


def agrees(printed: str, promised: str) -> bool:
    """Whether all words are the same; a line of three dots stands for any number of lines."""
    parts = [re.escape(words(part)) for part in re.split(r"^ *\.\.\.$", promised, flags=re.MULTILINE)]
    return re.fullmatch(".*".join(parts), words(printed)) is not None


class Shell:
    """Types commands into a shell in the repository, with a kubectl configuration of its own."""

    def __init__(self, cluster: Kubectl, kubeconfig: Path, helm: str) -> None:
        kubeconfig.write_bytes(cluster.kubeconfig.read_bytes())
        programs = f"{cluster.program.parent}:{Path(helm).parent}"
        self._environment = os.environ | {"KUBECONFIG": str(kubeconfig), "PATH": f"{programs}:{os.environ['PATH']}"}
        self._remembered: list[str] = []

    def type(self, command: str) -> str:
        """Run a command; it has to succeed. Returns what it printed."""
        if REMEMBERED.match(command):
            self._remembered.append(command)
        own = command.replace(f"build/cluster/{VALUES}", str(file_of_cluster(VALUES)))
        script = "\n".join(["set -euo pipefail", *self._remembered, own])
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        return done.stdout


@pytest.fixture
def free_namespace(cluster: Kubectl) -> Iterator[None]:
    """The namespace of the page does not exist, before and after."""
    cluster.delete("namespace", NAMESPACE)
    cluster.wait("namespace", NAMESPACE, "delete", seconds=180)
    yield
    cluster.delete("namespace", NAMESPACE)


@pytest.mark.alone
@pytest.mark.usefixtures("free_namespace", "images")
def test_the_commands_of_the_tutorial_print_what_the_page_says(cluster: Kubectl, tmp_path: Path):
    helm = find_helm()
    assert helm, "The tutorial needs helm 4: run `make cluster-up`."
    nodes = [node["metadata"]["name"] for node in cluster.find("nodes")]
    shell = Shell(cluster, tmp_path / "kubeconfig", helm)
    up, export, *rest = steps(PAGE)
    # The cluster that they make is the one of all tests.
    assert up.command == "make cluster-up\n"
    assert str(OUTPUT.relative_to(ROOT) / "kubeconfig") in export.command
    for step in rest:
        promised = step.output
        if promised is None:
            shell.type(step.command)
            continue
        printed = ""

        def agreed(step: Step = step, promised: str = promised) -> bool:
            nonlocal printed
            printed = shell.type(step.command)
            for node in nodes:
                printed = printed.replace(node, "queueserver-control-plane")
            return agrees(printed, promised) or not step.command.startswith(LOOKS)

        try:
            wait_until(agreed, step.command, SETTLING)
        except AssertionError:
            pytest.fail(f"$ {step.command}\n{printed}\nThe page says:\n{promised}", pytrace=False)
        assert agrees(printed, promised), f"$ {step.command}\n{printed}\nThe page says:\n{promised}"


def test_only_what_is_different_every_time_may_differ():
    promised = "NAME READY AGE\ndemo-474afd6f20 1/1 12s\n...\nend\n"
    assert agrees("NAME   READY AGE\ndemo-0123456789  1/1   3m5s\nmore\nand more\nend", promised)
    assert not agrees("NAME READY AGE\ndemo-0123456789 0/1 3m5s\nend", promised)
    assert not agrees("NAME READY AGE\nother-0123456789 1/1 3m5s\nend", promised)
    assert not agrees("NAME READY AGE\ndemo-0123456789 1/1 3m5s\nend and more", promised)
