"""Bring the virtual environment `.venv` of a checkout up to date: `python scripts/environment.py local|dev`.

`local` holds what the programs need, `dev` also what tests and checks need. Packages come in the exact versions and
with the hashes of `requirements/<name>.txt`; the distribution itself is installed editable. A stamp in the environment
remembers what it was made from, so that nothing is done, and no network is needed, when nothing changed.

Uses the standard library only: it is the first thing that runs in a fresh checkout.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
# Each set of packages with those that contain it: an environment made for one of them serves as well.
SETS = {"local": ("local", "dev"), "dev": ("dev",)}


class EnvironmentFailure(Exception):
    """The environment could not be made; the text says why and what to do."""


def main(arguments: list[str]) -> int:
    """Make the environment that the one argument names; the exit code is 0 when it is complete."""
    if len(arguments) != 1 or arguments[0] not in SETS:
        print(f"usage: python scripts/environment.py {'|'.join(SETS)}", file=sys.stderr)
        return 2
    try:
        prepare(arguments[0])
    except EnvironmentFailure as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def prepare(name: str) -> None:
    """Install the set of packages `name` into `.venv`, unless they are there already."""
    if not environment_works():
        make_empty_environment()
    if any(is_current(larger) for larger in SETS[name]):
        return
    stamp_file(name).unlink(missing_ok=True)
    print(f"Installing the packages of requirements/{name}.txt into .venv (once, about a minute) ...", flush=True)
    pip("install", "--require-hashes", "-r", str(lock_file(name)))
    # Last, so that its programs replace those of the same names that the published client brings along.
    pip("install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    stamp_file(name).write_text(fingerprint(name))


def environment_works() -> bool:
    """Tell whether `.venv` was made here and runs the Python that runs this script (Makefile: `PYTHON`)."""
    if Path(sys.prefix).resolve() != ENVIRONMENT:
        version = [str(PYTHON), "-I", "-c", "import sys; sys.stdout.write(sys.version)"]
        try:
            answer = subprocess.run(version, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return False
        if answer != sys.version:
            return False
    # Programs name the folder that they were installed in: an environment that was moved or copied is of no use.
    activate = ENVIRONMENT / "bin" / "activate"
    return activate.is_file() and str(ENVIRONMENT) in activate.read_text()


def is_current(name: str) -> bool:
    """Tell whether `.venv` was completed for the set `name` from the files as they are now."""
    try:
        return stamp_file(name).read_text() == fingerprint(name) and all(programs_are_ours())
    except OSError:
        return False


def fingerprint(name: str) -> str:
    """Hash everything that decides what is installed."""
    parts = [
        sys.version.encode(),
        (ROOT / "pyproject.toml").read_bytes(),
        lock_file(name).read_bytes(),
        Path(__file__).read_bytes(),
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def programs_are_ours() -> list[bool]:
    """Tell for each program whether `.venv/bin` has ours; a package installed by hand can have replaced it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [
        target.split(":")[0] in (ENVIRONMENT / "bin" / program).read_text()
        for program, target in project["scripts"].items()
    ]


def make_empty_environment() -> None:
    """Create `.venv` with the running interpreter, in place of an environment that no longer works."""
    if ENVIRONMENT.exists() and not (ENVIRONMENT / "pyvenv.cfg").is_file():
        raise EnvironmentFailure(
            f"{ENVIRONMENT} is in the way: it is not a virtual environment. Move it and try again."
        )
    print(f"Making .venv with Python {sys.version.split()[0]} ...", flush=True)
    run([sys.executable, "-I", "-m", "venv", "--clear", str(ENVIRONMENT)], "The virtual environment could not be made.")


def pip(*arguments: str) -> None:
    """Run pip in `.venv`, quietly unless something goes wrong."""
    options = ["--quiet", "--no-input", "--disable-pip-version-check"]
    run(
        [str(PYTHON), "-I", "-m", "pip", *arguments, *options],
        "The packages could not be installed: pip's message is above. pip needs the network, or a configuration that\n"
        "names a mirror. What was downloaded is kept: the same command goes on from there.",
    )


def run(command: list[str], failure: str) -> None:
    """Run a command; raises EnvironmentFailure with the text `failure` when it does not succeed."""
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EnvironmentFailure(failure) from error
    except KeyboardInterrupt:
        raise EnvironmentFailure("Interrupted: the same command goes on from there.") from None


def lock_file(name: str) -> Path:
    """Give the file with the exact versions of the set `name`."""
    return ROOT / "requirements" / f"{name}.txt"


def stamp_file(name: str) -> Path:
    """Give the file that remembers what the set `name` was installed from."""
    return ENVIRONMENT / f"installed-{name}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
