# Startup code of a beamline, as it lies in the beamline's own image (spec.environment.profile.image.path).

import periodictable
from bluesky import RunEngine
from bluesky.plans import scan
from ophyd.sim import SynAxis, SynGauss

RE = RunEngine()

energy = SynAxis(name="energy", value=8.0, labels={"motors"})
copper = SynGauss("copper", energy, "energy", center=8.98, Imax=1000, sigma=0.01, labels={"detectors"})
sample_mass = periodictable.Cu.mass


def absorption_edge(points: int = 11):
    """Scan the energy over the K edge of copper."""
    yield from scan([copper], energy, 8.9, 9.1, points, md={"sample_mass": sample_mass})
