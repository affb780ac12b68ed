"""A root shell on a node of the cluster, for faults that nothing inside a pod can cause."""

from __future__ import annotations

from dataclasses import dataclass

from cluster_of_tests import Kubectl


@dataclass(frozen=True)
class NodeShell:
    """Runs programs of the node's own in a privileged pod beside the pod whose node is meant."""

    cluster: Kubectl
    pod: str

    def run(self, *command: str, check: bool = True) -> str:
        """Run a program of the node as root, with its file system, network and processes."""
        entered = ("nsenter", "--target", "1", "--mount", "--net", "--pid", "--", *command)
        return self.cluster.run_in(self.pod, *entered, check=check)

    def kill(self, pod_uid: str, program: str) -> None:
        """SIGKILL for the processes of a pod whose command line has this word in it."""
        script = """
            uid=$1; other=$(echo $1 | tr - _); word=$2; killed=no
            for process in /proc/[0-9]*; do
                grep -qE "$uid|$other" $process/cgroup 2>/dev/null || continue
                tr '\\0' ' ' < $process/cmdline | grep -q "$word" || continue
                kill -KILL ${process#/proc/} && killed=yes
            done
            test $killed = yes
        """
        self.run("sh", "-c", script, "sh", pod_uid, program)


def node_shell(cluster: Kubectl, image: str, node: str) -> NodeShell:
    """Start the privileged pod on a node and wait until it runs; it goes with its namespace."""
    name = f"shell-{node}"
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "nodeName": node,
                "hostPID": True,
                "hostNetwork": True,
                "terminationGracePeriodSeconds": 0,
                "tolerations": [{"operator": "Exists"}],
                "containers": [
                    {
                        "name": "shell",
                        "image": image,
                        "command": ["sleep", "infinity"],
                        "securityContext": {"privileged": True, "runAsUser": 0},
                    }
                ],
            },
        }
    )
    cluster.wait("pod", name, "condition=Ready")
    return NodeShell(cluster, name)
