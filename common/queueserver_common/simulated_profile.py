"""Where the startup code lies that is loaded when no startup option is given."""

from __future__ import annotations

from pathlib import Path


def simulated_profile_dir() -> Path:
    """Return the directory of the simulated profile: inside the installed package, or else in the repository.

    Raises `FileNotFoundError` when neither exists.
    """
    package = Path(__file__).resolve().parent
    candidates = (package / "sim_profile", package.parents[1] / "sim_profile")
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(
        f"The simulated profile is neither in {str(candidates[0])!r} nor in {str(candidates[1])!r}: install the "
        "package again, or name your own startup code with --startup-dir"
    )
