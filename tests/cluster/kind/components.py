"""The images that the node carries: the control plane, etcd, DNS, storage and the first process of pods.

Their names are those that kubeadm and kind's manifests ask for, so that nothing has to be fetched.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from kind.archive import Image, write_archive
from kind.commands import Word, run
from kind.programs import KUBERNETES, KUBERNETES_VERSION

STORAGE_IMAGE = "docker.io/library/local-path-provisioner:0.0.30"
TOOLS_IMAGE = f"registry.k8s.io/kube-proxy:{KUBERNETES_VERSION}"
"""The image of Kubernetes' own programs also has a shell and network tools; node network and storage use it."""

# For the scripts in our manifests and for storage's helper pod.
COMMANDS = """
    sh cat cmp cp grep ln ls mkdir mv rm sed sleep
    conntrack ip nft iptables iptables-restore iptables-save ip6tables ip6tables-restore ip6tables-save
"""
SEARCH_PATH = "PATH=/usr/local/bin:/usr/bin:/usr/sbin"
FAILURE = "The images of the node's components could not be made."


def write_components(target: Path, scratch: Path, root: Path, programs: dict[str, Path]) -> list[Path]:
    """Write all images into one archive; returns their layers.

    `root` is the node's root file system, from which the commands and their libraries are taken.
    """
    kubernetes = scratch / "kubernetes"
    _commands_of(root, kubernetes)
    (kubernetes / "usr/local/bin").mkdir(parents=True)
    shutil.copy2(programs["kubernetes"], kubernetes / "usr/local/bin/kubernetes")
    names = _images_of_kubeadm(programs["kubernetes"].with_name("kubeadm"))
    for name in KUBERNETES.links:
        (kubernetes / "usr/local/bin" / name).symlink_to("kubernetes")
    images = [Image([n for n in names if "/kube-" in n], _packed(kubernetes), {"Env": [SEARCH_PATH]})]
    for program, name in [
        ("etcd", _only(names, "/etcd")),
        ("coredns", _only(names, "/coredns")),
        ("pause", _only(names, "/pause")),
        ("local-path-provisioner", STORAGE_IMAGE),
    ]:
        # etcd is called by its name and found on the path, the others are the images' entry points.
        folder = scratch / program
        (folder / "usr/local/bin").mkdir(parents=True)
        shutil.copy2(programs[program], folder / "usr/local/bin" / program)
        config = {"Env": [SEARCH_PATH], "Entrypoint": [f"/usr/local/bin/{program}"]}
        images.append(Image([name], _packed(folder), config))
    write_archive(target, images)
    return [image.layer for image in images]


def pause_image(kubeadm: Path) -> str:
    """Name of the image that holds the namespaces of a pod, which containerd has to be told."""
    return _only(_images_of_kubeadm(kubeadm), "/pause")


def _images_of_kubeadm(kubeadm: Path) -> list[str]:
    command: list[Word] = [kubeadm, "config", "images", "list", "--kubernetes-version", KUBERNETES_VERSION]
    return run(command, "kubeadm does not tell which images it needs.").split()


def _only(names: list[str], part: str) -> str:
    (name,) = (name for name in names if part in name)
    return name


def _packed(folder: Path) -> Path:
    archive = folder.with_suffix(".tar")
    run(["tar", "-C", folder, "--sort=name", "--numeric-owner", "-cf", archive, "."], FAILURE)
    return archive


def _commands_of(root: Path, target: Path) -> None:
    """Copy commands with the libraries that they load from one root file system into another one."""
    for folder in ("etc", "proc", "root", "run", "sys", "tmp", "var", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"):
        (target / folder).mkdir(parents=True)
    for folder in ("bin", "sbin", "lib", "lib64"):
        (target / folder).symlink_to(f"usr/{folder}")
    files = [
        Path(run(["chroot", root, "/bin/sh", "-c", f"command -v {name}"], FAILURE).strip()) for name in COMMANDS.split()
    ]
    extensions = next((root / "usr/lib").glob("*-linux-gnu/xtables"))
    shutil.copytree(extensions, target / extensions.relative_to(root))
    files += [Path("/") / file.relative_to(root) for file in extensions.glob("*.so")]
    for file in files:
        _copy_with_links(root, target, file)
        answer = run(["chroot", root, "/bin/sh", "-c", f"ldd {file} || true"], FAILURE)
        for word in answer.split():
            if word.startswith("/") and (root / word[1:]).exists():
                _copy_with_links(root, target, Path(word))
    (target / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (target / "etc/group").write_text("root:x:0:\n")
    (target / "etc/nsswitch.conf").write_text("hosts: files dns\n")


def _copy_with_links(root: Path, target: Path, file: Path) -> None:
    """Copy a file and, when it is a link, what it leads to; links to absolute paths mean the root file system's."""
    place = target / file.relative_to("/")
    if os.path.lexists(place):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    source = root / file.relative_to("/")
    shutil.copy2(source, place, follow_symlinks=False)
    if source.is_symlink():
        _copy_with_links(root, target, Path(os.path.normpath(file.parent / source.readlink())))
