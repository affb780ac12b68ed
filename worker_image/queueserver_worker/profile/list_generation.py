"""`gen_list_of_plans_and_devices`: the program `qserver-list-plans-devices` as a function (plans-and-permissions 1)."""

from __future__ import annotations

from pathlib import Path

from queueserver_common.lists_file import LISTS_FILE_NAME


def gen_list_of_plans_and_devices(
    *,
    startup_profile: str | None = None,
    startup_dir: str | None = None,
    startup_module_name: str | None = None,
    startup_script_path: str | None = None,
    file_dir: str | None = None,
    file_name: str | None = None,
    ipython_dir: str | None = None,
    overwrite: bool = False,
    ignore_invalid_plans: bool = False,
    device_max_depth: int = 0,
    use_ipython_kernel: bool = False,
) -> None:
    """Load startup code in a process of its own and write the file of its plans and devices.

    Raises IOError when the file is there already and may not be overwritten, RuntimeError when the code cannot be
    loaded; the reason is then on standard error.
    """
    from queueserver_worker import list_plans_devices

    directory, name = Path(file_dir or "."), file_name or LISTS_FILE_NAME
    if not overwrite and (directory / name).exists():
        raise OSError(f"File '{directory / name}' already exists. File overwriting is disabled.")
    options = {
        "--startup-profile": startup_profile,
        "--startup-dir": startup_dir,
        "--startup-module": startup_module_name,
        "--startup-script": startup_script_path,
        "--ipython-dir": ipython_dir,
        "--file-dir": str(directory),
        "--file-name": name,
        "--ignore-invalid-plans": "ON" if ignore_invalid_plans else "OFF",
        "--device-max-depth": str(device_max_depth),
        "--use-ipython-kernel": "ON" if use_ipython_kernel else "OFF",
    }
    words = [f"{option}={value}" for option, value in options.items() if value is not None]
    if list_plans_devices.main(words) != 0:
        raise RuntimeError("Failed to generate the list of plans and devices from the startup code")
