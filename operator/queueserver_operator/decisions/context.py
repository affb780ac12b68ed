"""What every decision about a family needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from queueserver_operator import names
from queueserver_operator.build import small, worker
from queueserver_operator.build.parts import digest
from queueserver_operator.conditions import Trouble
from queueserver_operator.http_spec import HttpSpec, http_of
from queueserver_operator.model import Options
from queueserver_operator.observed import Lease, Observed, Secret
from queueserver_operator.report import Report
from queueserver_operator.spec import QueueServerSpec


@dataclass(frozen=True)
class Context:
    """A family whose QueueServer exists, at one moment."""

    observed: Observed
    options: Options
    now: float
    spec: QueueServerSpec
    report: Report
    link_keys: str = field(init=False)
    """Hash of the public keys of the link; empty while a Secret is missing."""

    def __post_init__(self) -> None:
        pair = [secret.public_key for secret in (self.link_server_secret, self.link_worker_secret) if secret]
        object.__setattr__(self, "link_keys", digest(pair) if len(pair) == 2 and all(pair) else "")

    @property
    def control_secret(self) -> Secret | None:
        """The Secret of the control socket, ours or the one that the specification names."""
        return self.observed.secrets.get(self.spec.keys.control or names.control_secret(self.spec.name))

    @property
    def link_server_secret(self) -> Secret | None:
        """The Secret of the manager's end of the link."""
        return self.observed.secrets.get(self.spec.keys.link_server or names.link_server_secret(self.spec.name))

    @property
    def link_worker_secret(self) -> Secret | None:
        """The Secret of the worker's end of the link."""
        return self.observed.secrets.get(self.spec.keys.link_worker or names.link_worker_secret(self.spec.name))

    @property
    def lease(self) -> Lease | None:
        """The lock of the instrument, whoever holds it."""
        place = (small.lease_namespace(self.spec, self.options), names.lease(self.spec.instrument))
        return next((one for one in self.observed.leases if (one.namespace, one.name) == place), None)

    @property
    def profile_revision(self) -> str:
        """Hash of the startup code, where it can be told."""
        if self.spec.environment.profile.kind != "configMap":
            return ""
        config_map = self.observed.config_maps.get(self.spec.environment.profile.name)
        return config_map.revision if config_map else ""

    @cached_property
    def http(self) -> HttpSpec | None:
        """The HTTP server that is wanted."""
        return http_of(self.spec)

    @cached_property
    def worker_hash(self) -> str:
        """Hash of what the next worker is made from; empty when the specification names no startup code."""
        return worker.template_hash(self.spec, self.options) if self.spec.environment.profile.kind else ""

    @cached_property
    def obstacle(self) -> Trouble | None:
        """Why no environment can be opened as things are, although the manager may well run."""
        template = self.spec.environment
        profile, observed = template.profile, self.observed
        if not profile.kind or (profile.kind == "image" and not (profile.path or profile.module)):
            return Trouble("NoProfile", "spec.environment.profile names no source of startup code.")
        if template.host_network and not self.options.allow_host_network:
            return Trouble(
                "HostNetworkNotPermitted",
                "spec.environment.hostNetwork is true, but this operator does not permit it: remove the field, "
                "or install the operator with hostNetwork allowed.",
            )
        if profile.kind == "configMap":
            config_map = observed.config_maps.get(profile.name)
            if config_map is None:
                return Trouble("ProfileNotFound", f"The ConfigMap {profile.name} with the startup code does not exist.")
            if profile.path and profile.path not in config_map.keys:
                message = f"The ConfigMap {profile.name} has no key {profile.path!r}, which is to be the startup code."
                return Trouble("ProfileNotFound", message)
        if profile.kind == "persistentVolumeClaim" and profile.name not in observed.claims:
            return Trouble("ProfileNotFound", f"The claim {profile.name} with the startup code does not exist.")
        if template.home.existing_claim and template.home.existing_claim not in observed.claims:
            message = f"The claim {template.home.existing_claim}, which is to be the home, does not exist."
            return Trouble("HomeNotFound", message)
        return None
