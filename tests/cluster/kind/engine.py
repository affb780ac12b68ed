"""The container engine: podman or docker, by the options that both have."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from kind.commands import run, succeeds
from kind.failure import CannotContinue

ENGINE_VARIABLE = "QUEUESERVER_TEST_ENGINE"


@dataclass(frozen=True)
class Engine:
    """One engine with the settings that it is started with."""

    program: str
    """`podman` or `docker`."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables of its own, for every program that uses it (kind too)."""

    def run(self, *arguments: str | Path, failure: str) -> str:
        """Run a command of the engine; returns its output."""
        return run([self.program, *arguments], failure, environment=self.environment)

    def has_image(self, name: str) -> bool:
        """Tell whether an image is in the engine's store."""
        return succeeds([self.program, "image", "inspect", name], environment=self.environment)

    def reaches(self, image: str) -> bool:
        """Tell whether the registry of an image answers and has it."""
        return succeeds([self.program, "manifest", "inspect", image], environment=self.environment, seconds=30)

    def drop_old_images(self, current: str, kept: int) -> None:
        """Remove the images of one repository but `current` and the newest ones; those that a container uses stay."""
        repository = current.rsplit(":", 1)[0]
        listing = ["images", "--filter", f"reference={repository}", "--format", "{{.Repository}}:{{.Tag}}"]
        try:
            names = self.run(*listing, failure=f"{self.program} does not tell its images.").split()
        except CannotContinue:
            return  # somebody else removes images at this moment: old ones can go at another time
        for name in set(names[kept:]) - {current}:
            succeeds([self.program, "rmi", name], environment=self.environment)

    def import_tree(self, archive: Path, name: str) -> None:
        """Make an image of one layer from an archive of a root file system."""
        self.run("import", archive, name, failure=f"{self.program} could not take in {name}.")

    def load(self, archive: Path) -> None:
        """Take in the images of an archive that `save` or this project wrote."""
        self.run("load", "--input", archive, failure=f"{self.program} could not load {archive}.")

    def save(self, names: list[str], archive: Path) -> None:
        """Write images into one archive, in which common layers lie once."""
        several = ["--multi-image-archive"] if self.program == "podman" else []
        self.run("save", *several, "--output", archive, *names, failure=f"{self.program} could not save images.")

    def cut_power(self, container: str) -> None:
        """End all processes of a container at once, as a machine that loses its power."""
        self.run("kill", "--signal", "KILL", container, failure=f"{container} could not be ended.")

    def start(self, container: str) -> None:
        """Start a container that had ended, with what it had on its disk."""
        self.run("start", container, failure=f"{container} could not be started.")

    def push(self, name: str, destination: str) -> None:
        """Give an image another name and send it to the registry that this name begins with."""
        self.run("tag", name, destination, failure=f"{self.program} could not name {destination}.")
        self.run("push", destination, failure=f"The registry did not take {destination}. Are you logged in to it?")


def engine_of_the_machine() -> Engine | None:
    """Find the engine that the user works with: the one that ENGINE_VARIABLE names, else docker, else podman."""
    named = os.environ.get(ENGINE_VARIABLE)
    if named not in (None, "", "docker", "podman"):
        raise CannotContinue(f"{ENGINE_VARIABLE} is {named!r}; it may be docker or podman.")
    for program in [named] if named else ["docker", "podman"]:
        if succeeds([program, "info"]):
            # kind would guess the same in most cases; it is told.
            settings = {"KIND_EXPERIMENTAL_PROVIDER": program} | (
                {"DOCKER_BUILDKIT": "1"} if program == "docker" else {}
            )
            return Engine(program, settings)
    if named:
        raise CannotContinue(f"{ENGINE_VARIABLE} names {named}, but `{named} info` does not succeed.")
    return None
