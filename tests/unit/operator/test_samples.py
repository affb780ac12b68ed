"""The samples as files: what is embedded in them is what it seems to be. The API server's word is in tests/cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from queueserver_common.permissions_file import load_permissions_file
from queueserver_http.configuration.sources import load as load_http_configuration

SAMPLES = sorted((Path(__file__).resolve().parents[3] / "docs" / "samples").glob("*.yaml"))


def embedded(body: dict[str, Any]) -> dict[str, str]:
    """Files in a sample by their names."""
    inline = body.get("spec", {}).get("permissions", {}).get("inline")
    files = {"user_group_permissions.yaml": inline} if inline else {}
    return files | (body["data"] if body["kind"] == "ConfigMap" else {})


FILES = [
    pytest.param(name, text, id=f"{sample.name}: {name}")
    for sample in SAMPLES
    for body in yaml.safe_load_all(sample.read_text())
    for name, text in embedded(body).items()
]


@pytest.mark.parametrize(("name", "text"), FILES)
def test_files_in_samples_can_be_read(name: str, text: str, tmp_path: Path):
    file = tmp_path / name
    file.write_text(text)
    if name.endswith(".py"):
        compile(text, name, "exec")
    elif "authentication" in yaml.safe_load(text):
        assert load_http_configuration(str(file), {}).accounts
    else:
        assert {"root", "primary"} <= set(load_permissions_file(file).groups)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_a_sample_says_what_it_is_for(sample: Path):
    assert sample.read_text().startswith("# ")


def test_samples_cover_every_source_of_startup_code():
    profiles = {
        kind
        for sample in SAMPLES
        for body in yaml.safe_load_all(sample.read_text())
        if body["kind"] == "QueueServer"
        for kind in body["spec"]["environment"]["profile"]
    }
    assert profiles == {"simulated", "configMap", "persistentVolumeClaim", "image"}
