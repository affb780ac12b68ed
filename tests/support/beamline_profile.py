"""Startup code of the QueueServers that tests in a cluster drive: plans that go on until the test lets them.

It is mounted into the worker as the only file of its profile.
"""

import os
import time
from pathlib import Path

import bluesky.plan_stubs as bps
from bluesky import RunEngine

RE = RunEngine({})
