# The RunEngine. The queue server runs plans with the object that is named RE.

import sys

from bluesky import RunEngine
from bluesky.callbacks.best_effort import BestEffortCallback

RE = RunEngine({"metadata_key": "metadata_value"})

bec = BestEffortCallback()
RE.subscribe(bec)


def is_ipython_with_qt():
    """True in an IPython session that shows plots in Qt windows. Elsewhere plots have nowhere to go."""
    ipython = sys.modules.get("IPython")
    matplotlib = sys.modules.get("matplotlib")
    if ipython is None or matplotlib is None or ipython.get_ipython() is None:
        return False
    return "qt" in matplotlib.get_backend().lower()


if not is_ipython_with_qt():
    bec.disable_plots()
