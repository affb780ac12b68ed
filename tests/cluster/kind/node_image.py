"""The image of a kind node, for machines that reach no image registry.

Debian with systemd and containerd, the programs of Kubernetes, kind's two manifests (node network and storage), and a
containerd store that holds the images of the components already.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from kind.archive import Image, sha256, write_archive
from kind.commands import Word, run, succeeds
from kind.components import STORAGE_IMAGE, TOOLS_IMAGE, pause_image, write_components
from kind.debian import make_root
from kind.failure import CannotContinue
from kind.programs import KUBERNETES_VERSION
from kind.progress import step

FILES = Path(__file__).parent / "node"
PACKAGES = (
    "systemd systemd-sysv containerd runc containernetworking-plugins ca-certificates mount kmod procps jq e2fsprogs "
    "iptables nftables iproute2 ethtool conntrack"
)
MASKED_UNITS = ("systemd-binfmt", "systemd-udevd", "systemd-logind", "console-getty")
STORE = "var/lib/containerd"
FAILURE = "The node image could not be made."
CONTAINERD_START = 30.0
"""Seconds within which containerd answers."""


def make_node_image(folder: Path, name: str, programs: dict[str, Path]) -> None:
    """Write `node.tar`, an archive with the image `name` of a node that runs these programs."""
    root, scratch = folder / "root", folder / "scratch"
    scratch.mkdir()
    make_root(root, tuple(PACKAGES.split()), "the node image")
    with step("Putting Kubernetes into the node image", "20 s"):
        layers = write_components(scratch / "components.tar", scratch, root, programs)
        _install_files(root, programs)
        _install_units(root)
        _fill_store(root, scratch, layers)
        excluded = [f"--exclude=./{folder}/*" for folder in ("dev", "proc", "sys")]
        run(["tar", "-C", root, "--numeric-owner", *excluded, "-cf", scratch / "root.tar", "."], FAILURE)
        config = {
            "Env": ["container=podman", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Entrypoint": ["/usr/local/bin/entrypoint", "/sbin/init"],
            "StopSignal": "SIGRTMIN+3",
        }
        write_archive(folder / "node.tar", [Image([name], scratch / "root.tar", config)])
    shutil.rmtree(root)
    shutil.rmtree(scratch)


def _install_files(root: Path, programs: dict[str, Path]) -> None:
    values = {
        "@TOOLS_IMAGE@": TOOLS_IMAGE,
        "@STORAGE_IMAGE@": STORAGE_IMAGE,
        "@PAUSE_IMAGE@": pause_image(programs["kubernetes"].with_name("kubeadm")),
    }
    for source in FILES.rglob("*"):
        if source.is_file():
            target = root / source.relative_to(FILES)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_text()
            for placeholder, value in values.items():
                text = text.replace(placeholder, value)
            target.write_text(text)
            target.chmod(source.stat().st_mode & 0o755)
    for program in ("kubernetes", "crictl"):
        shutil.copy2(programs[program], root / "usr/bin" / program)
    for name in ("kubeadm", "kubectl", "kubelet"):
        (root / "usr/bin" / name).symlink_to("kubernetes")
    (root / "kind/version").write_text(KUBERNETES_VERSION)
    (root / "kind/product_name").write_text("kind\n")
    for folder in ("etc/kubernetes/manifests", "etc/cni/net.d", "opt/cni"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for configuration in (root / "etc/cni/net.d").iterdir():
        configuration.unlink()
    (root / "opt/cni/bin").symlink_to("/usr/lib/cni")
    for family in ("iptables", "ip6tables"):
        run(["chroot", root, "update-alternatives", "--set", family, f"/usr/sbin/{family}-nft"], FAILURE)


def _install_units(root: Path) -> None:
    """Leave only those services of systemd that a node needs, and start ours."""
    units, enabled = root / "lib/systemd/system", root / "etc/systemd/system"
    for wants in [*enabled.glob("*.wants"), units / "multi-user.target.wants", units / "local-fs.target.wants"]:
        shutil.rmtree(wants, ignore_errors=True)
    for pattern in (
        "sockets.target.wants/*udev*",
        "sockets.target.wants/*initctl*",
        "sysinit.target.wants/*tmpfiles-setup.service",
    ):
        for unit in units.glob(pattern):
            unit.unlink()
    for name in MASKED_UNITS:
        (enabled / f"{name}.service").symlink_to("/dev/null")
    (enabled / "getty.target").symlink_to("/dev/null")
    wanted = enabled / "multi-user.target.wants"
    wanted.mkdir()
    for name in ("containerd", "kubelet"):
        (wanted / f"{name}.service").symlink_to(f"../{name}.service")
    default = enabled / "default.target"
    default.unlink(missing_ok=True)
    default.symlink_to("/lib/systemd/system/multi-user.target")


def _fill_store(root: Path, scratch: Path, layers: list[Path]) -> None:
    """Unpack the components' images into the node's containerd store, with the node's own containerd."""
    folder = scratch / "containerd"
    socket = folder / "containerd.sock"
    folder.mkdir()
    configuration = folder / "config.toml"
    configuration.write_text(
        f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\naddress = "{socket}"\n'
    )
    with (folder / "log").open("wb") as log:
        containerd = subprocess.Popen([root / "usr/bin/containerd", "--config", configuration], stdout=log, stderr=log)
    try:
        ctr: list[Word] = [root / "usr/bin/ctr", "--address", socket, "--namespace", "k8s.io"]
        deadline = time.monotonic() + CONTAINERD_START
        while not succeeds([*ctr, "version"]):
            if containerd.poll() is not None or time.monotonic() > deadline:
                raise CannotContinue(f"{FAILURE} containerd does not start:\n{(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)
        archive = scratch / "components.tar"
        run([*ctr, "images", "import", "--all-platforms", "--snapshotter", "overlayfs", archive], FAILURE)
        for layer in layers:
            # Unpacked it is; the packed copy would only make the node image larger.
            run([*ctr, "content", "rm", f"sha256:{sha256(layer)}"], FAILURE)
    finally:
        containerd.terminate()
        containerd.wait()
    shutil.rmtree(root / STORE, ignore_errors=True)
    shutil.move(folder / "root", root / STORE)
