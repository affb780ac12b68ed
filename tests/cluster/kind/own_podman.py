"""A podman with a store of its own, for machines that reach no image registry.

Images and networks lie in the cache, not among the user's. The settings also serve machines where the root user may
not raise limits (no CAP_SYS_RESOURCE) and whose init does not manage control groups.
"""

from __future__ import annotations

import hashlib
import resource
import shutil
from pathlib import Path

from kind.engine import Engine
from kind.packages import install

PROGRAMS = ("podman", "runc", "iptables", "debootstrap")
"""Programs on the PATH, by the names of their packages in Debian."""
HELPERS = ("netavark", "aardvark-dns")
"""Programs that podman starts, by the names of their packages in Debian."""
FOLDERS_OF_HELPERS = ("/usr/lib/podman", "/usr/libexec/podman", "/usr/local/lib/podman", "/usr/local/libexec/podman")
CAP_SYS_RESOURCE = 24
PROCESSES = 30000
"""Limit of processes of a container where podman's own, the highest possible one, is refused."""


def install_packages() -> None:
    """Install what is missing of the system's packages; raises `CannotContinue` where only a person can."""
    install(missing_packages())


def own_podman(root: Path) -> Engine:
    """Write the settings below a folder and return the engine that uses them."""
    # kind mounts the folder into its nodes; a kernel without modules has none.
    Path("/lib/modules").mkdir(parents=True, exist_ok=True)
    folder = root / "podman"
    folder.mkdir(exist_ok=True)
    # What must not outlive a boot of the machine lies where nothing does. Two stores share neither it nor networks.
    number = hashlib.sha256(str(folder).encode()).digest()
    run_folder = Path("/run") / f"queueserver-cluster-{number.hex()[:8]}"
    storage = folder / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{run_folder}/storage"\n'
    )
    containers = folder / "containers.conf"
    containers.write_text(_containers_conf(folder, run_folder, subnets=f"10.{64 + number[0] % 64}.0.0"))
    return Engine(
        "podman",
        {
            "CONTAINERS_STORAGE_CONF": str(storage),
            "CONTAINERS_CONF": str(containers),
            "KIND_EXPERIMENTAL_PROVIDER": "podman",
            # The name server of podman's networks is one for all stores and tells networks apart by name alone.
            "KIND_EXPERIMENTAL_PODMAN_NETWORK": run_folder.name,
        },
    )


def _containers_conf(folder: Path, run_folder: Path, *, subnets: str) -> str:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limits = (
        "" if _may_raise_limits() else f'default_ulimits = ["nofile={files}:{files}", "nproc={PROCESSES}:{PROCESSES}"]'
    )
    return f"""\
[containers]
log_driver = "k8s-file"
{limits}
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
default_subnet = "{subnets}/24"
default_subnet_pools = [{{"base" = "{subnets}/16", "size" = 24}}]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
static_dir = "{folder}/libpod"
tmp_dir = "{run_folder}/libpod"
volume_path = "{folder}/volumes"
image_copy_tmp_dir = "{folder}"
"""


def _may_raise_limits() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1)
    return False


def missing_packages() -> list[str]:
    """Name the packages, as Debian calls them, of what is not installed."""
    programs = [name for name in PROGRAMS if shutil.which(name) is None]
    helpers = [name for name in HELPERS if not any((Path(folder) / name).exists() for folder in FOLDERS_OF_HELPERS)]
    return programs + helpers
