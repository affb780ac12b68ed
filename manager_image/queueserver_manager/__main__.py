"""`python -m queueserver_manager`: the manager process itself, without a supervisor."""

from __future__ import annotations

import sys

from queueserver_manager.main import main

sys.exit(main())
