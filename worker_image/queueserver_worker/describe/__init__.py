"""Describe what startup code defined: the lists of existing plans and devices (plans-and-permissions 2)."""

from queueserver_worker.describe.devices import existing_devices
from queueserver_worker.describe.parameters import PlanDescriptionError
from queueserver_worker.describe.plans import KnownPlans, existing_plans

__all__ = ["KnownPlans", "PlanDescriptionError", "existing_devices", "existing_plans"]
