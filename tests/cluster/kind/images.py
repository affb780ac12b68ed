"""The images of the project, each tagged by the content that it is built from.

A tree that did not change asks for images that are there already; a changed one never gets an old image by accident.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kind.archive import architecture
from kind.cache import content_key
from kind.engine import Engine
from kind.pip_settings import write_secrets
from kind.progress import step

ROOT = Path(__file__).resolve().parents[3]
PREFIX = "localhost/queueserver"
KEPT = 3
"""Images of one name that stay in the engine: those of the last builds."""
PUBLISHED_BASE = "docker.io/library/python:3.13-slim"
"""The default of the Dockerfiles' BASE_IMAGE, where its registry answers."""

OF_EVERY_WHEEL = ("pyproject.toml", "README.md", "LICENSE", "requirements/build.txt", ".dockerignore", "common")


@dataclass(frozen=True)
class ProjectImage:
    """What an image is built from."""

    name: str
    dockerfile: str
    files: tuple[str, ...]
    """Files and folders of the repository that its build reads."""
    usually: str
    target: str = ""
    built_on: tuple[tuple[str, str], ...] = ()
    """Build arguments that name other images of the project: argument, image."""
    context: str = "."


IMAGES = (
    ProjectImage(
        "manager",
        "Dockerfile.manager",
        (*OF_EVERY_WHEEL, "requirements/manager.txt", "sim_profile", "manager_image"),
        "25 s, 10 s when only our code changed",
        target="manager",
    ),
    ProjectImage(
        "operator",
        "Dockerfile.manager",
        (*OF_EVERY_WHEEL, "requirements/operator.txt", "operator"),
        "25 s, 10 s when only our code changed",
        target="operator",
    ),
    ProjectImage(
        "worker",
        "Dockerfile.worker",
        (*OF_EVERY_WHEEL, "requirements/worker.txt", "sim_profile", "worker_image"),
        "1 minute, 10 s when only our code changed",
    ),
    ProjectImage(
        "client",
        "tests/cluster/images/client/Dockerfile",
        ("requirements/client.txt", ".dockerignore"),
        "15 s, 5 s when only the manager changed",
        built_on=(("MANAGER_IMAGE", "manager"),),
    ),
    ProjectImage(
        "beamline",
        "tests/cluster/images/beamline/Dockerfile",
        ("tests/cluster/images/beamline",),
        "15 s",
        built_on=(("BASE_IMAGE", "worker"),),
        context="tests/cluster/images/beamline",
    ),
    ProjectImage(
        "next-release",
        "tests/cluster/images/next-release/Dockerfile",
        ("tests/cluster/images/next-release",),
        "5 s",
        built_on=(("MANAGER_IMAGE", "manager"),),
        context="tests/cluster/images/next-release",
    ),
    ProjectImage(
        "postgresql",
        "tests/cluster/images/postgresql/Dockerfile",
        ("tests/cluster/images/postgresql",),
        "30 s",
        context="tests/cluster/images/postgresql",
    ),
)


def image_names(base_image: str, root: Path = ROOT) -> dict[str, str]:
    """Return the full name of each image as the tree is now."""
    names: dict[str, str] = {}
    for image in IMAGES:
        below = [base_image, *(names[other] for _, other in image.built_on)]
        files = [root / file for file in (image.dockerfile, *image.files)]
        names[image.name] = f"{PREFIX}/{image.name}:{content_key(image, below, architecture(), files=files, base=root)}"
    return names


def chart_values(images: Mapping[str, str]) -> dict[str, object]:
    """Value `images` of the operator's chart for images by their full names."""
    named = {name: images[name].rpartition(":") for name in ("operator", "manager", "worker")}
    return {"registry": ""} | {name: {"repository": path, "tag": tag} for name, (path, _, tag) in named.items()}


def build_images(engine: Engine, base_image: str) -> dict[str, str]:
    """Build the images that are not there yet; returns the full name of each one."""
    names = image_names(base_image)
    for image in IMAGES:
        if not engine.has_image(names[image.name]):
            arguments = {"BASE_IMAGE": base_image} | {argument: names[other] for argument, other in image.built_on}
            _build(engine, image, names[image.name], arguments)
            engine.drop_old_images(names[image.name], KEPT)
    return names


def _build(engine: Engine, image: ProjectImage, name: str, arguments: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder, step(f"Building the image {name}", image.usually):
        options = ["--file", str(ROOT / image.dockerfile), "--tag", name]
        for argument, value in arguments.items():
            options += ["--build-arg", f"{argument}={value}"]
        options += write_secrets(Path(folder))
        if image.target:
            options += ["--target", image.target]
        if engine.program == "podman":
            # The machine's own way to the outside, whatever podman's network allows.
            options += ["--network", "host", "--layers"]
        engine.run("build", *options, ROOT / image.context, failure=f"The image {image.name} could not be built.")
