"""What the tests take for granted of the cluster that they run in."""

from __future__ import annotations

from cluster_of_tests import Kubectl, restricted_pod


def test_names_of_services_are_resolved_in_pods(namespace: Kubectl, images: dict[str, str]):
    program = "import socket; print(socket.gethostbyname('kubernetes.default.svc'))"
    namespace.apply(restricted_pod("resolver", images["worker"], ["python", "-c", program]))
    namespace.wait("pod", "resolver", "jsonpath={.status.phase}=Succeeded")
    service = namespace.within("default").get("service", "kubernetes")
    assert service
    assert namespace.logs("resolver").strip() == service["spec"]["clusterIP"]


def test_a_volume_keeps_what_a_pod_wrote_and_is_writable_for_its_user(namespace: Kubectl, images: dict[str, str]):
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}},
    }
    namespace.apply(claim)
    for name, command in [("writer", "echo kept > /data/file"), ("reader", "cat /data/file")]:
        pod = restricted_pod(name, images["worker"], ["sh", "-c", command])
        pod["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        namespace.apply(pod)
        namespace.wait("pod", name, "jsonpath={.status.phase}=Succeeded")
    assert namespace.logs("reader") == "kept\n"


def test_a_container_that_takes_too_much_memory_is_killed_for_it(namespace: Kubectl, images: dict[str, str]):
    pod = restricted_pod("greedy", images["worker"], ["python", "-c", "hold = bytearray(10**9)"])
    pod["spec"]["containers"][0]["resources"] = {"limits": {"memory": "32Mi"}}
    namespace.apply(pod)
    namespace.wait("pod", "greedy", "jsonpath={.status.containerStatuses[0].state.terminated.reason}=OOMKilled")


def test_pods_of_different_nodes_reach_each_other(cluster: Kubectl, namespace: Kubectl, images: dict[str, str]):
    # On one node it shows that pods reach each other at all.
    nodes = [node["metadata"]["name"] for node in cluster.find("nodes") if not node["spec"].get("taints")]
    serve = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8000)"
    namespace.apply(restricted_pod("server", images["worker"], ["python", "-c", serve], nodeName=nodes[0]))
    namespace.wait("pod", "server", "condition=Ready")
    server = namespace.get("pod", "server")
    assert server
    ask = (
        "import urllib.request, time\n"
        f"for attempt in range(100):\n"
        f"    try: print(urllib.request.urlopen('http://{server['status']['podIP']}:8000').status); break\n"
        f"    except OSError: time.sleep(0.1)"
    )
    namespace.apply(restricted_pod("asker", images["worker"], ["python", "-c", ask], nodeName=nodes[-1]))
    namespace.wait("pod", "asker", "jsonpath={.status.phase}=Succeeded")
    assert namespace.logs("asker") == "200\n"
