"""The tag of an image changes with what is in it, and only then."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from kind.images import IMAGES, ROOT, image_names

BASE = "localhost/base:1"
IGNORED = shutil.ignore_patterns("__pycache__")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in {file for image in IMAGES for file in (image.dockerfile, *image.files)}:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=IGNORED, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)
    return tmp_path


def changed(tree: Path, file: str) -> set[str]:
    """Append a line to a file and name the images whose tag changes."""
    before = image_names(BASE, tree)
    with (tree / file).open("a") as stream:
        stream.write("\n")
    after = image_names(BASE, tree)
    return {name for name, image in after.items() if before[name] != image}


def test_the_same_tree_has_the_same_names_wherever_it_lies(tree: Path):
    assert image_names(BASE, tree) == image_names(BASE)


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("manager_image/queueserver_manager/service.py", {"manager", "client", "next-release"}),
        ("operator/queueserver_operator/decide.py", {"operator"}),
        ("worker_image/queueserver_worker/__main__.py", {"worker", "beamline"}),
        ("common/queueserver_common/cluster.py", {image.name for image in IMAGES} - {"postgresql"}),
        ("sim_profile/00-devices.py", {image.name for image in IMAGES} - {"operator", "postgresql"}),
        ("requirements/operator.txt", {"operator"}),
        ("requirements/client.txt", {"client"}),
        ("Dockerfile.worker", {"worker", "beamline"}),
        ("tests/cluster/images/beamline/startup/00-beamline.py", {"beamline"}),
        ("tests/cluster/images/next-release/Dockerfile", {"next-release"}),
        ("tests/cluster/images/postgresql/Dockerfile", {"postgresql"}),
    ],
)
def test_a_change_renames_the_images_that_hold_it(tree: Path, file: str, images: set[str]):
    assert changed(tree, file) == images


def test_another_base_renames_all(tree: Path):
    one, other = image_names(BASE, tree), image_names("localhost/base:2", tree)
    assert [name for name in one if one[name] == other[name]] == []


@pytest.mark.parametrize("dockerfile", ["Dockerfile.manager", "Dockerfile.worker"])
def test_what_a_dockerfile_copies_is_what_the_tags_are_made_from(dockerfile: str):
    copied = set()
    for line in (ROOT / dockerfile).read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            *sources, _ = [word for word in line.split()[1:] if not word.startswith("--")]
            copied |= set(sources)
    known = {file for image in IMAGES if image.dockerfile == dockerfile for file in image.files} - {".dockerignore"}
    assert {source for source in copied if not any(Path(source).is_relative_to(file) for file in known)} == set()
    assert known <= copied


def test_the_build_sees_what_the_dockerfiles_copy_and_no_more():
    ignored = (ROOT / ".dockerignore").read_text()
    allowed = set(re.findall(r"^!(\S+)$", ignored, re.MULTILINE))
    files = {file for image in IMAGES if image.context == "." for file in image.files} - {".dockerignore"}
    assert {re.sub(r"^requirements/.*", "requirements/*.txt", file) for file in files} == allowed
