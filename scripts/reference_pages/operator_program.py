"""docs/reference/operator.md: what the operator is told by variables, and what it answers over HTTP."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator

from queueserver_common.cluster import HEALTH_PORT
from queueserver_operator import __main__ as program
from queueserver_operator import configuration, metrics
from reference_pages import markdown
from reference_pages.markdown import code, codes, prose, table

_VARIABLES = {
    "MANAGER_IMAGE": ("", "Image of managers and their Redis where a QueueServer names none. Has to be given."),
    "WORKER_IMAGE": ("", "Image of workers where a QueueServer names none. Has to be given."),
    "NAMESPACES": ("all", "Namespaces that are served, separated by commas."),
    "LOCK_NAMESPACE": ("that of the QueueServer", "Namespace of the instrument locks."),
    "IDENTITY": ("`queueserver-operator`", "Written to `status.operator` of each QueueServer that it looks after."),
    "IMAGE_PULL_SECRETS": ("", "Names of Secrets for the registry, separated by commas, given to all pods."),
    "ALLOW_HOST_NETWORK": ("`false`", "Whether `environment.hostNetwork` of a QueueServer is permitted."),
    "LOG_LEVEL": ("`INFO`", "`DEBUG`, `INFO`, `WARNING` or `ERROR`."),
    "HEALTH_PORT": (f"`{HEALTH_PORT}`", "TCP port of `/healthz`, `/readyz` and `/metrics`; 0: any free one."),
}
_PATHS = (
    ("/healthz", "A new start would not help: 200. A watch has missed changes for a minute, or the loop hangs: 500."),
    ("/readyz", "The same, and 500 while it waits at its start for the CRDs or the API server or reads what there is."),
    ("/metrics", "The figures below."),
)


def page() -> str:
    """The page."""
    return markdown.page(
        "Operator",
        "`queueserver_operator.configuration` and `queueserver_operator.metrics`",
        "`python -P -m queueserver_operator`, the entry point of the operator's image. The chart "
        "[queueserver-operator](charts-queueserver-operator.md) sets the variables from its values. "
        f"{prose(inspect.getdoc(program.main))}",
        "## Variables",
        "All names begin with " + code(configuration.PREFIX) + ".",
        table(["variable", "default", "meaning"], ([code(name), *texts] for name, texts in _variables().items())),
        "## Over HTTP",
        "Answered from the first second of the process on, without a login; the bodies of the first two say why. The "
        "chart's NetworkPolicy lets nothing else in.",
        table(["path", "answer"], ([code(path), text] for path, text in _PATHS)),
        "## Figures",
        table(["name", "kind", "labels", "meaning"], _figures()),
    )


def _variables() -> dict[str, tuple[str, str]]:
    read = set(re.findall(r'\bvalue\("([A-Z_]+)"\)', inspect.getsource(configuration)))
    if read != _VARIABLES.keys():
        raise ValueError(f"{__file__} describes {sorted(_VARIABLES)}, the operator reads {sorted(read)}")
    return _VARIABLES


def _figures() -> Iterator[list[str]]:
    """Each assignment of a Counter, Gauge or Histogram: its name, text and labels stand in the call."""
    for statement in ast.parse(inspect.getsource(metrics)).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            kind = ast.unparse(statement.value.func)
            if kind in ("Counter", "Gauge", "Histogram"):
                name, meaning, *labels = map(ast.literal_eval, statement.value.args)
                yield [code(name), kind.lower(), codes(labels[0]) if labels else "", f"{meaning}."]
