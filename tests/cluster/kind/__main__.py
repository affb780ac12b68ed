"""A real Kubernetes for tests: `python -m kind up | load | down | stop-node | start-node | check | servers`.

The page docs/how-to/run-the-cluster-tests.md tells what a person needs to know of it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from kind.cache import Cache, default_root
from kind.clusters import Cluster, push
from kind.failure import CannotContinue
from kind.images import build_images, chart_values
from kind.machine import Machine, look, reasons_against
from kind.programs import HELM, KIND, KUBERNETES, Program, Programs
from kind.progress import say
from kind.servers import OUTPUT, PROGRAMS, make_servers

DEFAULT_NAME = "queueserver"
EXISTING = "existing"
"""Stands for the name of a cluster that was not made here."""
KUBECONFIG_VARIABLE = "QUEUESERVER_TEST_KUBECONFIG"
"""An existing cluster, to be used instead of one made here."""
PREFIX_VARIABLE = "QUEUESERVER_TEST_IMAGE_PREFIX"
"""Where an existing cluster gets the project's images from, as `registry.example/folder`; they are pushed there."""


def main(arguments: list[str]) -> int:
    """Carry out one command; the exit code is 0 when it succeeded."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "check":
            return check()
        if options.command == "servers":
            make_servers()  # what is missing is said here and again by the tests that need it
            return 0
        if options.command == "down":
            down(options.name)
        elif options.command == "stop-node":
            look(Cache(default_root())).engine.cut_power(options.node)
        elif options.command == "start-node":
            look(Cache(default_root())).engine.start(options.node)
        elif os.environ.get(KUBECONFIG_VARIABLE):
            use_existing_cluster(Path(os.environ[KUBECONFIG_VARIABLE]))
        elif options.command == "up":
            up(options.name, options.workers)
        else:
            load(options.name)
    except CannotContinue as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted: the same command goes on from there.", file=sys.stderr)
        return 130
    return 0


def up(name: str, workers: int) -> None:
    """Bring up a cluster with the images of this tree, building whatever is not there yet."""
    cache = Cache(default_root())
    machine = look(cache)
    programs = Programs(cache, PROGRAMS)
    cluster = _cluster(name, machine, programs, machine.programs)
    cluster.recreate_if_needed(machine.node_image(cache, programs), workers)
    _load(cluster, machine, cache)
    say(f"\nThe cluster {name} is ready:\n    export KUBECONFIG={cluster.kubeconfig} PATH={PROGRAMS}:$PATH")


def load(name: str) -> None:
    """Build the images of this tree and bring them into a cluster that is up."""
    cache = Cache(default_root())
    machine = look(cache)
    cluster = _cluster(name, machine, Programs(cache, PROGRAMS), (KIND, KUBERNETES))
    if not cluster.exists():
        raise CannotContinue(f"There is no cluster {name}; make cluster-up makes it.")
    _load(cluster, machine, cache)


def down(name: str) -> None:
    """Delete a cluster; what was built stays in the cache."""
    cache = Cache(default_root())
    machine = look(cache)
    _cluster(name, machine, Programs(cache, PROGRAMS), (KIND, KUBERNETES)).delete()
    for file in ("images.json", "operator-values.json"):
        _file(name, file).unlink(missing_ok=True)


def check() -> int:
    """Say whether this machine can run the tests that need a cluster."""
    if os.environ.get(KUBECONFIG_VARIABLE):
        return 0
    reasons = reasons_against()
    if reasons:
        say("This machine can run no cluster for tests:")
    for reason in reasons:
        say(f"  {reason}")
    return 1 if reasons else 0


def use_existing_cluster(kubeconfig: Path) -> None:
    """Send the images of this tree where an existing cluster finds them."""
    prefix = os.environ.get(PREFIX_VARIABLE)
    if not prefix:
        raise CannotContinue(
            f"{KUBECONFIG_VARIABLE} names an existing cluster: set {PREFIX_VARIABLE} to the place in a registry from "
            "which it can pull the project's images, for example registry.example/queueserver."
        )
    if not kubeconfig.is_file():
        raise CannotContinue(f"{KUBECONFIG_VARIABLE} names {kubeconfig}, which is no file.")
    cache = Cache(default_root())
    machine = look(cache)
    Programs(cache, PROGRAMS).build((KUBERNETES, HELM))
    _write_names(EXISTING, push(machine.engine, build_images(machine.engine, machine.base_image(cache)), prefix))


def _load(cluster: Cluster, machine: Machine, cache: Cache) -> None:
    images = build_images(machine.engine, machine.base_image(cache))
    cluster.load(list(images.values()))
    _write_names(cluster.name, images)


def _write_names(cluster: str, images: dict[str, str]) -> None:
    """Tell the images that a cluster has, to tests and as values of the operator's chart."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    _file(cluster, "images.json").write_text(json.dumps(images, indent=2) + "\n")
    _file(cluster, "operator-values.json").write_text(json.dumps({"images": chart_values(images)}, indent=2) + "\n")


def _file(cluster: str, name: str) -> Path:
    """Path of a file about a cluster: with its name in front, but for the default one."""
    return OUTPUT / (name if cluster == DEFAULT_NAME else f"{cluster}.{name}")


def _cluster(name: str, machine: Machine, programs: Programs, needed: tuple[Program, ...]) -> Cluster:
    built = programs.build(needed)
    kubectl = built["kubernetes"].with_name("kubectl")
    return Cluster(name, _file(name, "kubeconfig"), machine.engine, built["kind"], kubectl)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make cluster-…", description="A real Kubernetes for tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    for command, purpose in [
        ("up", "make a cluster with the images of this tree, or bring the one that is there up to date"),
        ("load", "build the images of this tree and bring them into the cluster"),
        ("down", "delete the cluster"),
        ("stop-node", "cut the power of a node, by its name as kubectl tells it"),
        ("start-node", "start a node whose power was cut"),
        ("check", "say whether this machine can run one"),
        ("servers", "get the servers that tests without a cluster need"),
    ]:
        subparser = commands.add_parser(command, help=purpose, description=purpose)
        if command.endswith("-node"):
            subparser.add_argument("node", help="name of the node, which is that of its container as well")
        elif command not in ("check", "servers"):
            subparser.add_argument("--name", default=DEFAULT_NAME, help="name of the cluster (default: %(default)s)")
        if command == "up":
            subparser.add_argument(
                "--workers", type=int, default=1, metavar="N", help="nodes besides the control plane's (default: 1)"
            )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
