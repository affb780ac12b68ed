"""A QueueServer's specification as the operator reads it.

The API server checks the schema and fills in the defaults of `crds/queueservers.yaml`; the same defaults stand here, so
that reading is total and an object from before a change of the schema is understood as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from queueserver_operator.reading import EMPTY, elements, flag, integer, integers, mapping, text, texts

UpdatePolicy = Literal["WhenIdle", "Immediate", "OnRestart"]
ProfileKind = Literal["simulated", "configMap", "persistentVolumeClaim", "image", ""]

_UPDATE_POLICIES: tuple[UpdatePolicy, ...] = ("WhenIdle", "Immediate", "OnRestart")
_PROFILE_KINDS: tuple[ProfileKind, ...] = ("simulated", "configMap", "persistentVolumeClaim", "image")

# Processors are asked for and not limited: a limit would make a plan wait, and what is evicted first goes by memory.
_MANAGER_RESOURCES = {"requests": {"cpu": "100m"}, "limits": {"memory": "256Mi"}}
_REDIS_RESOURCES = {"requests": {"cpu": "50m"}, "limits": {"memory": "256Mi"}}
_WORKER_RESOURCES = {"requests": {"cpu": "200m"}, "limits": {"memory": "1Gi"}}


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What the pods of manager and worker have in common."""

    image: str
    """Empty: the operator's default."""
    image_pull_policy: str
    image_pull_secrets: tuple[str, ...]
    resources: Mapping[str, Any]
    node_selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, Any], ...]
    affinity: Mapping[str, Any]
    priority_class: str
    env: tuple[Mapping[str, Any], ...]
    env_from: tuple[Mapping[str, Any], ...]
    volumes: tuple[Mapping[str, Any], ...]
    volume_mounts: tuple[Mapping[str, Any], ...]
    service_account: str
    """Empty: the one that the operator makes."""
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    run_as_user: int
    run_as_group: int
    fs_group: int
    supplemental_groups: tuple[int, ...]
    termination_grace: int
    """Seconds from the request to end until the processes are killed."""
    pod_template: Mapping[str, Any]
    """Strategic merge patch for the finished pod; empty: none."""

    @classmethod
    def parse(cls, parent: Mapping[str, Any], resources: Mapping[str, Any]) -> PodSettings:
        """Read the fields from `spec.manager` or `spec.environment`; `resources` are the default of each resource."""
        return cls(
            image=text(parent, "image"),
            image_pull_policy=text(parent, "imagePullPolicy") or "IfNotPresent",
            image_pull_secrets=tuple(text(one, "name") for one in elements(parent, "imagePullSecrets")),
            resources=_resources(mapping(parent, "resources"), resources),
            node_selector=mapping(parent, "nodeSelector"),
            tolerations=elements(parent, "tolerations"),
            affinity=mapping(parent, "affinity"),
            priority_class=text(parent, "priorityClassName"),
            env=elements(parent, "env"),
            env_from=elements(parent, "envFrom"),
            volumes=elements(parent, "volumes"),
            volume_mounts=elements(parent, "volumeMounts"),
            service_account=text(parent, "serviceAccountName"),
            labels=mapping(parent, "labels"),
            annotations=mapping(parent, "annotations"),
            run_as_user=integer(parent, "runAsUser", default=1000),
            run_as_group=integer(parent, "runAsGroup", default=1000),
            fs_group=integer(parent, "fsGroup", default=1000),
            supplemental_groups=integers(parent, "supplementalGroups"),
            termination_grace=integer(parent, "terminationGracePeriodSeconds", default=30),
            pod_template=mapping(parent, "podTemplate"),
        )


@dataclass(frozen=True, slots=True)
class Manager:
    """`spec.manager`."""

    pod: PodSettings
    log_level: str
    root_submits: bool = True
    metadata_keys: tuple[str, ...] = ()
    """Empty: all of the RunEngine's metadata may be read."""
    history_limit: int | None = None
    """None: the manager's own default."""
    audit_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Redis:
    """`spec.redis`."""

    address: str
    """An external server; empty: a sidecar of the manager."""
    name_prefix: str
    image: str
    image_pull_policy: str
    resources: Mapping[str, Any]
    appendfsync: str


@dataclass(frozen=True, slots=True)
class Volume:
    """A claim that the operator makes."""

    size: str
    storage_class: str | None
    """None: the cluster's default; "": none, a volume that an administrator made."""
    access_modes: tuple[str, ...] = ("ReadWriteOnce",)

    @classmethod
    def parse(cls, parent: Mapping[str, Any], size: str) -> Volume:
        """Read size, class and access modes; `size` is used when none is given."""
        storage_class = parent.get("storageClassName")
        return cls(
            size=str(parent.get("size") or size),
            storage_class=storage_class if isinstance(storage_class, str) else None,
            access_modes=texts(parent, "accessModes") or ("ReadWriteOnce",),
        )


@dataclass(frozen=True, slots=True)
class Storage:
    """`spec.storage`: the manager's data and, by `reclaim`, what becomes of all data."""

    volume: Volume
    delete: bool
    """Claims and keys go with the QueueServer."""


@dataclass(frozen=True, slots=True)
class Network:
    """`spec.network`."""

    service_type: str
    service_annotations: Mapping[str, str]
    clear_info: bool
    """Console output and status are also published without encryption, for clients that cannot decrypt them."""
    legacy: bool
    """Requests of version 0.0.1 are answered as well."""
    policies: bool
    clients: tuple[Mapping[str, Any], ...]
    """NetworkPolicy peers that may reach the client ports; empty: everybody."""
    worker_ingress: tuple[Mapping[str, Any], ...]
    worker_egress: tuple[Mapping[str, Any], ...]
    """Rules for the worker in addition; empty: it may reach everything."""


@dataclass(frozen=True, slots=True)
class Keys:
    """`spec.keys`: names of Secrets that somebody else made; empty: the operator makes them."""

    control: str
    link_server: str
    link_worker: str


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text, inline or in a ConfigMap."""

    inline: str
    config_map: str
    key: str

    @property
    def given(self) -> bool:
        return bool(self.inline or self.config_map)


@dataclass(frozen=True, slots=True)
class Profile:
    """`spec.environment.profile`: where the startup code comes from."""

    kind: ProfileKind
    name: str = ""
    """Of the ConfigMap or the claim."""
    path: str = ""
    """Directory or script in it; in an image: absolute."""
    module: str = ""
    """Dotted name of a module of the image."""

    @classmethod
    def parse(cls, parent: Mapping[str, Any]) -> Profile:
        """Read the one source; none or an unknown one gives the empty kind."""
        kind: ProfileKind = next((one for one in _PROFILE_KINDS if one in parent), "")
        source = mapping(parent, kind) if kind else EMPTY
        name = text(source, "claimName") if kind == "persistentVolumeClaim" else text(source, "name")
        return cls(kind, name=name, path=text(source, "path"), module=text(source, "module"))

    def __str__(self) -> str:
        """The column PROFILE."""
        where = "/".join(part for part in (self.name, self.path.strip("/"), self.module) if part)
        return f"{self.kind}/{where}" if where else self.kind


@dataclass(frozen=True, slots=True)
class Home:
    """`spec.environment.home`: the worker's HOME."""

    volume: Volume
    existing_claim: str = ""
    sub_path: str = ""
    empty_dir: bool = False
    """Nothing is kept between openings."""

    @property
    def made_by_operator(self) -> bool:
        return not self.existing_claim and not self.empty_dir


@dataclass(frozen=True, slots=True)
class Epics:
    """`spec.environment.epics`: how the worker finds its process variables."""

    variables: Mapping[str, str]
    """Environment variables, EPICS_CA_ADDR_LIST and the like."""

    @classmethod
    def parse(cls, parent: Mapping[str, Any]) -> Epics:
        """Read both protocols; what is not given is not set."""
        variables = {}
        for key, prefix in (("channelAccess", "EPICS_CA"), ("pvAccess", "EPICS_PVA")):
            protocol = mapping(parent, key)
            for field_name, variable in (("addressList", "ADDR_LIST"), ("nameServers", "NAME_SERVERS")):
                addresses = texts(protocol, field_name)
                if addresses:
                    variables[f"{prefix}_{variable}"] = " ".join(addresses)
            if isinstance(protocol.get("autoAddressList"), bool):
                variables[f"{prefix}_AUTO_ADDR_LIST"] = "YES" if protocol["autoAddressList"] else "NO"
            if integer(protocol, "maxArrayBytes"):
                variables[f"{prefix}_MAX_ARRAY_BYTES"] = str(integer(protocol, "maxArrayBytes"))
        return cls(variables)


@dataclass(frozen=True, slots=True)
class EnvironmentTemplate:
    """`spec.environment`: what every opening makes its worker from."""

    pod: PodSettings
    profile: Profile
    home: Home
    epics: Epics
    host_network: bool
    runtime_class: str
    opening_deadline: int
    """Seconds from the request to a loaded profile."""
    destroy_grace: int
    """Seconds from the request to destroy until the worker is killed."""
    ignore_invalid_plans: bool
    device_max_depth: int
    create_run_engine: bool
    """The worker makes the RunEngine."""
    keep_run_engine: bool
    """But not when the startup code has made one."""
    ipython_kernel: bool
    """The worker runs in an IPython kernel, which listens at 127.0.0.1 of its pod."""


@dataclass(frozen=True, slots=True)
class QueueServerSpec:
    """A QueueServer: identity and specification."""

    namespace: str
    name: str
    uid: str
    generation: int
    deleting: bool
    suspend: bool
    instrument: str
    update_policy: UpdatePolicy
    manager: Manager
    redis: Redis
    storage: Storage
    network: Network
    keys: Keys
    permissions: Document
    lists: Document
    environment: EnvironmentTemplate
    raw: Mapping[str, Any] = field(repr=False, compare=False, default_factory=lambda: EMPTY)
    """The resource that was read."""

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> QueueServerSpec:
        """Read a QueueServer; total: what is absent or of another type has its default."""
        spec = mapping(body, "spec")
        namespace, name = text(body, "metadata", "namespace"), text(body, "metadata", "name")
        policy: UpdatePolicy = next((one for one in _UPDATE_POLICIES if one == text(spec, "updatePolicy")), "WhenIdle")
        manager = mapping(spec, "manager")
        return cls(
            namespace=namespace,
            name=name,
            uid=text(body, "metadata", "uid"),
            generation=integer(body, "metadata", "generation"),
            deleting=bool(text(body, "metadata", "deletionTimestamp")),
            suspend=flag(spec, "suspend"),
            instrument=text(spec, "instrument") or f"{namespace}/{name}",
            update_policy=policy,
            manager=Manager(
                PodSettings.parse(manager, _MANAGER_RESOURCES),
                log_level=text(manager, "logLevel") or "NORMAL",
                root_submits=flag(manager, "rootSubmits", default=True),
                metadata_keys=texts(manager, "metadataKeys"),
                history_limit=integer(manager, "historyLimit", default=-1) if "historyLimit" in manager else None,
                audit_limit=integer(manager, "auditLimit", default=-1) if "auditLimit" in manager else None,
            ),
            redis=_redis(mapping(spec, "redis")),
            storage=Storage(
                Volume.parse(mapping(spec, "storage"), "1Gi"), delete=text(spec, "storage", "reclaim") == "Delete"
            ),
            network=_network(mapping(spec, "network")),
            keys=Keys(
                control=text(spec, "keys", "control", "name"),
                link_server=text(spec, "keys", "linkServer", "name"),
                link_worker=text(spec, "keys", "linkWorker", "name"),
            ),
            permissions=_document(mapping(spec, "permissions"), "user_group_permissions.yaml"),
            lists=_document(mapping(spec, "existingPlansAndDevices"), "existing_plans_and_devices.yaml"),
            environment=_environment(mapping(spec, "environment")),
            raw=body,
        )


def _resources(given: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """Requests that are not given equal the limits; a resource of which nothing is given has its default."""
    named = {*mapping(given, "limits"), *mapping(given, "requests")}

    def completed(kind: str) -> dict[str, Any]:
        kept = {key: value for key, value in mapping(default, kind).items() if key not in named}
        return {**kept, **mapping(given, kind)}

    limits = completed("limits")
    found = {"limits": limits, "requests": limits | completed("requests")}
    return {kind: values for kind, values in found.items() if values}


def _redis(parent: Mapping[str, Any]) -> Redis:
    return Redis(
        address=text(parent, "address"),
        name_prefix=text(parent, "namePrefix") or "qs_default",
        image=text(parent, "image"),
        image_pull_policy=text(parent, "imagePullPolicy") or "IfNotPresent",
        resources=_resources(mapping(parent, "resources"), _REDIS_RESOURCES),
        appendfsync=text(parent, "appendfsync") or "always",
    )


def _network(parent: Mapping[str, Any]) -> Network:
    policy = mapping(parent, "policy")
    return Network(
        service_type=text(parent, "service", "type") or "ClusterIP",
        service_annotations=mapping(parent, "service", "annotations"),
        clear_info=flag(parent, "clearInfo", default=True),
        legacy=flag(parent, "legacy"),
        policies=flag(policy, "enabled", default=True),
        clients=elements(policy, "clients"),
        worker_ingress=elements(policy, "workerIngress"),
        worker_egress=elements(policy, "workerEgress"),
    )


def _document(parent: Mapping[str, Any], key: str) -> Document:
    return Document(
        inline=text(parent, "inline"),
        config_map=text(parent, "configMap", "name"),
        key=text(parent, "configMap", "key") or key,
    )


def _environment(parent: Mapping[str, Any]) -> EnvironmentTemplate:
    home = mapping(parent, "home")
    return EnvironmentTemplate(
        pod=PodSettings.parse(parent, _WORKER_RESOURCES),
        profile=Profile.parse(mapping(parent, "profile")),
        home=Home(
            volume=Volume.parse(mapping(home, "claim"), "1Gi"),
            existing_claim=text(home, "existingClaim", "claimName"),
            sub_path=text(home, "existingClaim", "subPath"),
            empty_dir="emptyDir" in home,
        ),
        epics=Epics.parse(mapping(parent, "epics")),
        host_network=flag(parent, "hostNetwork"),
        runtime_class=text(parent, "runtimeClassName"),
        opening_deadline=integer(parent, "openingDeadlineSeconds", default=540),
        destroy_grace=integer(parent, "destroyGraceSeconds", default=5),
        ignore_invalid_plans=flag(parent, "ignoreInvalidPlans"),
        device_max_depth=integer(parent, "deviceMaxDepth"),
        create_run_engine=text(parent, "runEngine") == "Create",
        keep_run_engine=flag(parent, "keepRunEngine"),
        ipython_kernel=flag(parent, "ipythonKernel"),
    )
