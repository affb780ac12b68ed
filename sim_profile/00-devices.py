# Simulated devices: everything that ophyd.sim offers, and some devices with components.

from ophyd import Component as Cpt
from ophyd import Device, Signal
from ophyd.sim import MockFlyer, SynAxis, SynGauss, hw

# det, det1 … det5, motor, motor1 … motor3, flyer1, img, pseudo3x3 and the others become names of this profile.
globals().update(vars(hw()))

custom_test_device = Device(name="custom_test_device")
custom_test_signal = Signal(name="custom_test_signal")
custom_test_flyer = MockFlyer("custom_test_flyer", det, motor, 1, 5, 20)


class SimStage(Device):
    """Three axes that move together."""

    x = Cpt(SynAxis, name="x", labels={"motors"})
    y = Cpt(SynAxis, name="y", labels={"motors"})
    z = Cpt(SynAxis, name="z", labels={"motors"})

    def set(self, x, y, z):
        """Move all three axes; the status is done when each of them is."""
        return self.x.set(x) & self.y.set(y) & self.z.set(z)


class SimDetectors(Device):
    """Two point detectors, each with a peak over one of the motors."""

    det_A = Cpt(
        SynGauss, name="det_A", motor=motor1, motor_field="motor1", center=0, Imax=5, sigma=0.5, labels={"detectors"}
    )
    det_B = Cpt(
        SynGauss, name="det_B", motor=motor2, motor_field="motor2", center=0, Imax=5, sigma=0.5, labels={"detectors"}
    )


class SimBundle(Device):
    """A device with two levels of components, such as `sim_bundle_A.mtrs.x` and `sim_bundle_A.dets.det_B`."""

    mtrs = Cpt(SimStage, name="mtrs")
    dets = Cpt(SimDetectors, name="dets")


sim_bundle_A = SimBundle(name="sim_bundle_A")
sim_bundle_B = SimBundle(name="sim_bundle_B")
