"""`make bench-cluster`: measure in the cluster of `make cluster-up` and write the table."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import report
from benchmarks.bench import ROOT, log
from benchmarks.cluster import ends, many, memory, openings
from benchmarks.cluster.figures import FIGURES
from benchmarks.samples import Samples, Side
from cluster_beamline import DEADLINE, Beamline
from cluster_of_tests import Kubectl, NoCluster, find_kubectl, image_names
from helm_charts import find_helm
from helm_release import Releases

PAGE = ROOT / "docs" / "reference" / "benchmarks-cluster.md"
RESULTS = ROOT / "build" / "benchmarks-cluster.json"
NAMESPACE, OF_MANY = "benchmark", "benchmark-many"
ROUNDS = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 0 when everything could be measured, whatever the figures are."""
    parser = argparse.ArgumentParser(prog="make bench-cluster", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds and no page: a trial, not a measurement")
    options = parser.parse_args(argv)
    try:
        cluster, images = find_kubectl(), image_names()
    except NoCluster as failure:
        print(failure, file=sys.stderr)
        return 1
    about = {**report.machine(), "kubernetes": _kubernetes(cluster)}
    samples = _measured(cluster, images, options.quick)
    table = report.rows(FIGURES, samples)
    results = {"machine": about, "load_at_end": os.getloadavg()[0], "figures": samples.as_mapping()}
    RESULTS.write_text(json.dumps(results, indent=1))
    print(markdown(table))
    if not options.quick:
        report.write_measured(PAGE, sentence(about), markdown(table))
        log(f"written: {PAGE.relative_to(ROOT)}")
    log(f"written: {RESULTS.relative_to(ROOT)}")
    return 0


def markdown(table: Sequence[report.Row]) -> str:
    """The table."""
    lines = ["| figure | unit | measured | floor | to reach | verdict |", "|---|---|--:|--:|---|---|"]
    for row in table:
        ours, floor = (report.number(row.cells.get(side)) for side in (Side.OURS, Side.FLOOR))
        lines.append(f"| {row.title} | {row.unit} | {ours} | {floor} | {row.target} | {row.verdict} |")
    return "\n".join(lines)


def sentence(about: Mapping[str, Any]) -> str:
    """The machine and its cluster in words."""
    return (
        f"Measured on {about['date']}: {about['cpus']} × {about['cpu']}, {about['system']}, "
        f"Kubernetes {about['kubernetes']}, which runs on the same machine; "
        f"load average {about['load']:.1f} at the start."
    )


def _kubernetes(cluster: Kubectl) -> str:
    return str(json.loads(cluster("version", "--output", "json"))["serverVersion"]["gitVersion"]).removeprefix("v")


def _measured(cluster: Kubectl, images: dict[str, str], quick: bool) -> Samples:
    """Measure in namespaces that exist for that alone."""
    program = find_helm()
    if program is None:
        raise SystemExit("helm 4 is needed: install it, name it in HELM, or run `make cluster-up`.")
    Releases(cluster, images, program).install_operator()
    samples = Samples()
    log("two hundred suspended QueueServers")
    cluster("create", "namespace", OF_MANY)
    try:
        many.measure(cluster.within(OF_MANY), samples, 10.0 if quick else many.IDLE)
    finally:
        cluster("delete", "namespace", OF_MANY, seconds=many.DEADLINE)
    cluster("create", "namespace", NAMESPACE)
    own = cluster.within(NAMESPACE)
    simulated, held = Beamline(own, images), Beamline(own, images, "held")
    rounds = 2 if quick else ROUNDS
    try:
        own.wait("serviceaccount", "default", "create")
        simulated.start(environment={"profile": {"simulated": {}}})
        log(f"openings (load average {os.getloadavg()[0]:.2f})")
        openings.measure(simulated, samples, rounds)
        log("memory")
        memory.measure(simulated, samples)
        own.delete("queueserver", simulated.name)
        own.wait("queueserver", simulated.name, "delete", DEADLINE)
        log("ends of workers and managers")
        held.start()
        ends.measure(held, samples, rounds)
    finally:
        simulated.disconnect()
        held.disconnect()
        cluster("delete", "namespace", NAMESPACE, seconds=180)
    return samples


if __name__ == "__main__":
    sys.exit(main())
