"""What a manager in a cluster has besides: the launcher of pods, the keys of their link, its part of the status."""

from __future__ import annotations

from collections.abc import Mapping

from queueserver_common.cluster import environment_name
from queueserver_common.link.curve_key import KeyFileError, read_key
from queueserver_manager.api.curve import CurveServerKeys
from queueserver_manager.cluster.api_server import ApiServer
from queueserver_manager.cluster.queue_server_status import Part, QueueServerStatus, part_of_status
from queueserver_manager.launch.interface import LaunchReports
from queueserver_manager.launch.kubernetes import KubernetesLauncher
from queueserver_manager.link.server import LinkKeys
from queueserver_manager.service import Service
from queueserver_manager.settings.errors import SettingsError
from queueserver_manager.settings.model import Settings


class ClusterParts:
    """Made from settings that name a QueueServer; raises `SettingsError`."""

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], service: Service, reports: LaunchReports
    ) -> None:
        assert settings.queue_server is not None
        assert settings.namespace is not None
        self._queue_server = settings.queue_server
        self._service = service
        self.link_keys = _link_keys(settings)
        self._api = ApiServer.of_this_cluster(environ, settings.token_dir)
        self.launcher = KubernetesLauncher(
            self._api, settings.namespace, settings.queue_server, reports, settings.opening_deadline
        )
        self._status = QueueServerStatus(self._api, settings.namespace, settings.queue_server, self._compose)

    def begin(self) -> None:
        """The stored opening, if there is one, is adopted: begin to watch and to report."""
        self.launcher.begin()
        self._status.begin()
        self._service.on_change = self._status.changed

    async def close(self) -> None:
        """End what `begin` began; the launcher is closed by who uses it."""
        await self._status.close()
        await self._api.close()

    def _compose(self) -> Part:
        state = self._service.core.state
        environment, running = state.environment, state.running
        return part_of_status(
            self._service.status(),
            "" if running is None else str(running.item.get("name", "")),
            state.last_exit_status,
            "" if environment is None else environment_name(self._queue_server, environment.opening_id),
        )


def _link_keys(settings: Settings) -> LinkKeys:
    assert settings.link_key_file is not None
    assert settings.link_worker_public_key_file is not None
    try:
        return LinkKeys(
            CurveServerKeys(read_key(settings.link_key_file)), read_key(settings.link_worker_public_key_file)
        )
    except KeyFileError as error:
        raise SettingsError(str(error)) from None
