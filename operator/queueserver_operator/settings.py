"""How kopf is used: it lists and watches, and nothing else.

kopf puts no finalizer, annotation or status on any object, because it knows only indexes and event handlers here.
The finalizer of a QueueServer is the operator's own: kopf starts no daemon for an object that is being deleted already,
so with its finalizer a deletion during a restart of the operator would miss the clean-up.
"""

from __future__ import annotations

import kopf

from queueserver_common.cluster import GROUP, QUEUE_SERVER_LABEL
from queueserver_operator.kinds import POD, STATEFUL_SET, VOLUME_CLAIM

_UNUSED = f"kopf.{GROUP}"
"""Prefix of what kopf would write if it ever did: never the same as another operator's."""


def kopf_settings() -> kopf.OperatorSettings:
    """All settings that differ from kopf's defaults or must stay as they are."""
    settings = kopf.OperatorSettings()
    settings.persistence.finalizer = f"{_UNUSED}/finalizer"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=_UNUSED)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=_UNUSED)
    settings.peering.standalone = True  # somebody else's peering object must not freeze this operator
    settings.scanning.disabled = True  # no right to watch CRDs and namespaces is needed
    settings.posting.enabled = False  # Events are posted by the operator itself, on purpose
    settings.posting.loggers = False
    settings.watching.inactivity_timeout = 70.0
    settings.watching.server_timeout = 600  # an integer: it goes into the URL as it is
    settings.watching.chunk_size = 250
    settings.networking.request_timeout = 30.0
    settings.networking.connect_timeout = 10.0
    settings.execution.default_backoff = 15.0
    settings.queueing.worker_limit = 100
    settings.queueing.idle_timeout = 0.1  # a worker of an object that waits keeps another object from having one
    for kind in (POD, STATEFUL_SET, VOLUME_CLAIM):
        settings.watching.label_selectors[kind.plural] = QUEUE_SERVER_LABEL
    return settings
