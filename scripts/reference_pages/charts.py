"""What follows from the values of the Helm charts and from crds/.

README and schema of each chart, its page in docs/reference, and the templates with which the operator's chart installs
the definitions of the resources.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from reference_pages import chart_values, crd_schema, markdown
from reference_pages.chart_values import Value
from reference_pages.markdown import code, table

ROOT = Path(__file__).resolve().parents[2]
CHARTS = ROOT / "charts"
CRDS = ROOT / "crds"
REFERENCE = ROOT / "docs" / "reference"
OPERATOR = "queueserver-operator"
QUEUE_SERVER = "queueserver"

_VALUES_TEXT = (
    "`helm show values charts/{chart}` prints them as a file to begin with. A value that is not listed here is refused."
)
_SPEC_TEXT = (
    "Handed on as they are. Where no default is given and the text tells none, nothing is set. Fields of Kubernetes' "
    "own types, such as those of volumes and tolerations, are those of a pod."
)
_HEAD = ("value", "type", "default", "meaning")


def files() -> dict[Path, str]:
    """Every generated file with the text that it should have."""
    found = {
        CHARTS / OPERATOR / "templates" / "crds" / crd.name: crd_template(crd) for crd in sorted(CRDS.glob("*.yaml"))
    }
    for chart in (OPERATOR, QUEUE_SERVER):
        found[CHARTS / chart / "README.md"] = _page(chart)
        found[CHARTS / chart / "values.schema.json"] = json.dumps(values_schema(chart), indent=2) + "\n"
        found[REFERENCE / f"charts-{chart}.md"] = _page(chart)
    return found


def crd_template(file: Path) -> str:
    """The template that installs a CustomResourceDefinition, which stays when the release is uninstalled."""
    head, separator, rest = file.read_text().partition("\nmetadata:\n")
    if not separator or "\n  annotations:" in rest.partition("\nspec:")[0]:
        raise ValueError(f"{file}: expected one block `metadata:` without annotations")
    kept = f"{head}{separator}  annotations:\n    helm.sh/resource-policy: keep\n{rest}"
    literal = kept.replace("{{", '{{ "{{" }}')
    return (
        f"{{{{- /* Written by `make docs` from crds/{file.name}: change it there. */ -}}}}\n"
        f"{{{{- if .Values.crds.install }}}}\n{literal}{{{{- end }}}}\n"
    )


def values_schema(chart: str) -> dict[str, Any]:
    """JSON schema of the values of a chart."""
    values = chart_values.read(CHARTS / chart / "values.yaml")
    schema = chart_values.schema(values, title=f"Values of the chart {chart}")
    if chart == QUEUE_SERVER:
        _add_specification(schema)
    return schema


def _add_specification(schema: dict[str, Any]) -> None:
    spec = crd_schema.json_schema(crd_schema.specification(CRDS / "queueservers.yaml"))
    if clash := sorted(schema["properties"].keys() & spec["properties"].keys()):
        raise ValueError(f"values of the chart {QUEUE_SERVER} are also fields of the specification: {clash}")
    # The chart completes the profile, so its values need neither.
    spec["properties"]["environment"].pop("required", None)
    config_map = spec["properties"]["environment"]["properties"]["profile"]["properties"]["configMap"]
    config_map.pop("required", None)
    schema["properties"] |= spec["properties"]


def _page(chart: str) -> str:
    about = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())
    values = chart_values.read(CHARTS / chart / "values.yaml")
    how_to = "[Install with Helm](../../docs/how-to/install-with-helm.md)"
    kubernetes = about["kubeVersion"].removesuffix("-0")
    blocks = [
        f"{about['description']}. Kubernetes {kubernetes}; {how_to} tells how to use it.",
        "## Values",
        _VALUES_TEXT.format(chart=chart),
        table(_HEAD, map(_row, values)),
    ]
    source = f"`charts/{chart}/values.yaml`"
    if chart == QUEUE_SERVER:
        source += " and `crds/queueservers.yaml`"
        blocks += ["## Values that are fields of the QueueServer", _SPEC_TEXT, _specification()]
    return markdown.page(f"Chart {chart}", source, *blocks)


def _specification() -> str:
    fields = crd_schema.fields(crd_schema.specification(CRDS / "queueservers.yaml"))
    rows = (
        [code(".".join(field.path)), field.type, code(field.default), _meaning(field.description, field.choices)]
        for field in fields
    )
    return table(_HEAD, rows)


def _row(value: Value) -> Sequence[str]:
    meaning = _meaning(value.description, value.schema.get("enum", ()))
    return [code(value.name), str(value.schema["type"]), code(json.dumps(value.default)), meaning]


def _meaning(description: str, choices: Sequence[str]) -> str:
    escaped = markdown.text(description).replace("<", r"\<")
    return f"{escaped} One of {markdown.codes(choices)}." if choices else escaped
