"""README and schema of a chart come from the comments in its values.yaml."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from queueserver_common import __version__

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "scripts"))

from reference_pages import chart_values, charts, crd_schema  # noqa: E402 - scripts are no installed package

VALUES = """\
# Not for the README.

# -- How many there are,
# at most.
# @schema {"minimum": 1}
count: 3

images:
  # -- Where from.
  registry: ""

# -- Anything goes.
# @schema {"additionalProperties": true}
extra:
  a:
    b: 1
"""


def read(tmp_path: Path, text: str) -> list[chart_values.Value]:
    file = tmp_path / "values.yaml"
    file.write_text(text)
    return chart_values.read(file)


def test_every_described_value_is_read_with_its_default_and_text(tmp_path: Path):
    found = read(tmp_path, VALUES)
    assert [(value.name, value.default, value.description) for value in found] == [
        ("count", 3, "How many there are, at most."),
        ("images.registry", "", "Where from."),
        ("extra", {"a": {"b": 1}}, "Anything goes."),
    ]


def test_the_type_follows_from_the_default_and_the_rest_from_the_comment(tmp_path: Path):
    schema = chart_values.schema(read(tmp_path, VALUES), title="T")
    assert schema["properties"]["count"] == {
        "description": "How many there are, at most.",
        "type": "integer",
        "default": 3,
        "minimum": 1,
    }
    assert schema["properties"]["images"]["additionalProperties"] is False
    assert schema["properties"]["extra"]["additionalProperties"] is True


@pytest.mark.parametrize("text", ["count: 3\n", "images:\n  registry: x\n", "# only a remark\ncount: 3\n", "a: {}\n"])
def test_a_value_without_a_description_is_an_error(tmp_path: Path, text: str):
    with pytest.raises(ValueError, match="has no description"):
        read(tmp_path, text)


def test_an_object_is_described_by_its_members(tmp_path: Path):
    assert [value.name for value in read(tmp_path, "a:\n  # -- B.\n  b: 1\n")] == ["a.b"]


STRUCTURAL = {
    "type": "object",
    "description": "All.",
    "required": ["size"],
    "properties": {
        "size": {
            "description": "How big.",
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "default": "1Gi",
        },
        "labels": {"description": "Labels.", "type": "object", "additionalProperties": {"type": "string"}},
        "empty": {"description": "Nothing in it.", "type": "object"},
        "patch": {
            "description": "Anything.",
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {"hostPID": {"type": "boolean", "description": "Refused here."}},
        },
        "env": {"description": "Variables.", "type": "array", "items": {"type": "object", "properties": {"name": {}}}},
    },
}


@pytest.mark.parametrize(
    "good",
    [
        {"size": 1},
        {"size": "1Gi", "labels": {"a": "b"}, "empty": {}, "patch": {"x": [1]}, "env": [{"name": "A"}]},
    ],
)
def test_what_the_api_server_takes_fits_the_schema(good: object):
    Draft202012Validator(crd_schema.json_schema(STRUCTURAL)).validate(good)


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"size": []},
        {"size": 1, "colour": "red"},
        {"size": 1, "labels": {"a": 1}},
        {"size": 1, "empty": {"a": 1}},
        {"size": 1, "env": [{"nmae": "A"}]},
    ],
)
def test_what_the_api_server_refuses_or_drops_does_not_fit_the_schema(bad: object):
    assert list(Draft202012Validator(crd_schema.json_schema(STRUCTURAL)).iter_errors(bad)) != []


def test_the_table_of_fields_tells_type_and_default():
    found = [(".".join(field.path), field.type, field.default) for field in crd_schema.fields(STRUCTURAL)]
    assert found == [
        ("size", "integer or string", '"1Gi"'),
        ("labels", "object", ""),
        ("empty", "object", ""),
        ("patch", "object", ""),
        ("env", "list of objects", ""),
    ]


@pytest.mark.parametrize("crd", sorted((ROOT / "crds").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_operator_chart_installs_each_definition_as_it_is_and_keeps_it(crd: Path):
    template = charts.crd_template(crd)
    first, condition, *lines, end = template.splitlines()
    assert (condition, end) == ("{{- if .Values.crds.install }}", "{{- end }}")
    assert first.startswith("{{- /*")
    installed = yaml.safe_load("\n".join(lines).replace('{{ "{{" }}', "{{"))
    assert installed["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert installed == yaml.safe_load(crd.read_text())


def test_a_definition_that_has_annotations_already_is_not_mistreated(tmp_path: Path):
    file = tmp_path / "crd.yaml"
    file.write_text("kind: CustomResourceDefinition\nmetadata:\n  name: x\n  annotations:\n    a: b\nspec: {}\n")
    with pytest.raises(ValueError, match="without annotations"):
        charts.crd_template(file)


@pytest.mark.parametrize("chart", ["queueserver", "queueserver-operator"])
def test_a_chart_has_the_version_of_the_project(chart: str):
    about = yaml.safe_load((ROOT / "charts" / chart / "Chart.yaml").read_text())
    assert (about["name"], about["version"], about["appVersion"]) == (chart, __version__, __version__)
    assert about["kubeVersion"] == ">=1.29.0-0"


@pytest.mark.parametrize("chart", ["queueserver", "queueserver-operator"])
def test_the_schema_of_a_chart_takes_its_own_defaults_and_describes_each_value(chart: str):
    schema = charts.values_schema(chart)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(yaml.safe_load((ROOT / "charts" / chart / "values.yaml").read_text()))
    assert [name for name, value in schema["properties"].items() if not described(value)] == []


def described(schema: dict[str, object]) -> bool:
    """Whether a schema, or each of its members, has a description."""
    properties = schema.get("properties")
    if "description" in schema:
        return True
    return isinstance(properties, dict) and all(described(value) for value in properties.values())
