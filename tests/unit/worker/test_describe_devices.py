"""The list of existing devices (plans-and-permissions 2 and 2.2)."""

from __future__ import annotations

import logging
import time

import ophyd
import ophyd.sim
import pytest
from ophyd import Component, DynamicDeviceComponent, Signal
from ophyd.sim import make_fake_device

from queueserver_common.descriptions import check_devices
from queueserver_worker.describe import existing_devices
from queueserver_worker.profile import helpers

pytestmark = pytest.mark.usefixtures("process_restored")


class Readable:
    name = "readable"

    def read(self): ...

    def describe(self): ...


class Movable(Readable):
    def set(self, value): ...


class Flyer:
    def __init__(self):
        self.name = "flyer"

    def kickoff(self): ...

    def complete(self): ...


class AsyncDevice:
    """As ophyd-async's base class: it has children and implements none of the protocols."""

    def __init__(self, **children):
        self.name = "async"
        self._children = children
        vars(self).update(children)

    def children(self):
        return iter(self._children.items())


class AsyncReadable(AsyncDevice, Readable): ...


class Stage(ophyd.Device):
    z = Component(ophyd.sim.SynAxis)
    A = Component(Signal, value=0)
    channels = DynamicDeviceComponent({"c1": (Signal, None, {}), "c2": (Signal, None, {})})


class Station(ophyd.Device):
    table = Component(Stage)


def flags(description):
    return tuple(description[f"is_{flag}"] for flag in ("readable", "movable", "flyable"))


def names(devices):
    """Nested names without descriptions."""
    return {name: names(device.get("components", {})) for name, device in devices.items()}


def describe(max_depth=0, **namespace):
    devices = existing_devices(namespace, max_depth)
    check_devices(devices)
    return devices


@pytest.mark.row("plans-and-permissions", "which objects are devices")
def test_devices_are_instances_that_are_readable_or_flyable_or_have_children():
    class Nameless:
        def read(self): ...

        def describe(self): ...

    class Switched(Readable):
        read = None

    class ChildrenAreNumbers:
        name = "n"
        children = 5

    described = describe(
        readable=Readable(), movable=Movable(), flyer=Flyer(), asynchronous=AsyncDevice(), Class=Readable,
        nameless=Nameless(), switched=Switched(), odd=ChildrenAreNumbers(), number=1, module=ophyd, text="a",
    )  # fmt: skip
    assert {name: flags(device) for name, device in described.items()} == {
        "asynchronous": (False, False, False),
        "flyer": (False, False, True),
        "movable": (True, True, False),
        "readable": (True, False, False),
    }


@pytest.mark.row("plans-and-permissions", "device description")
def test_a_leaf_has_flags_class_and_module_and_no_components():
    assert describe(d=Readable()) == {
        "d": {
            "is_readable": True,
            "is_movable": False,
            "is_flyable": False,
            "classname": "Readable",
            "module": __name__,
        }
    }


def test_methods_that_only_the_instance_has_count():
    device = Readable()
    device.set = lambda value: None
    assert flags(describe(d=device)["d"]) == (True, True, False)


def test_devices_are_listed_by_name_without_regard_to_case():
    assert list(describe(b=Readable(), C=Readable(), a=Readable(), **{"not a name": Readable()})) == ["a", "b", "C"]


@pytest.mark.row("plans-and-permissions", "nested devices")
def test_components_of_ophyd_devices_are_described_at_all_levels():
    described = describe(station=Station(name="station"))
    axis = {"acceleration": {}, "readback": {}, "setpoint": {}, "unused": {}, "velocity": {}}
    assert names(described) == {"station": {"table": {"A": {}, "channels": {"c1": {}, "c2": {}}, "z": axis}}}
    stage = described["station"]["components"]["table"]
    assert list(stage["components"]) == ["A", "channels", "z"]
    assert flags(stage["components"]["z"]) == (True, True, False)
    assert stage["components"]["z"]["classname"] == "SynAxis"


@pytest.mark.row("cli", "--device-max-depth")
@pytest.mark.parametrize(("depth", "levels"), [(1, {"station": {}}), (2, {"station": {"table": {}}})])
def test_the_depth_limits_the_levels(depth, levels):
    assert names(describe(depth, station=Station(name="station"))) == levels


@pytest.mark.row("plans-and-permissions", "depth, register_device")
def test_registration_overrides_the_depth_and_excludes():
    helpers.register_device("deep", depth=0)
    helpers.register_device("flat", depth=1)
    helpers.register_device("gone", exclude=True)
    station = Station(name="station")
    listed = names(describe(2, deep=station, flat=station, gone=station, other=station))
    assert listed["deep"]["table"]["channels"] == {"c1": {}, "c2": {}}
    assert listed == {"deep": listed["deep"], "flat": {}, "other": {"table": {}}}


def test_children_of_ophyd_async_devices_are_described_except_numbered_ones():
    vector = AsyncDevice(**{"1": Movable(), "2": Movable()})
    device = AsyncReadable(motor=Movable(), group=AsyncDevice(x=Readable()), vector=vector, number=5)
    assert names(describe(d=device)) == {"d": {"group": {"x": {}}, "motor": {}, "vector": {}}}
    assert names(describe(1, d=device)) == {"d": {}}


# Lazy components and area detectors -----------------------------------------------------------------------------


class NeverCreated(ophyd.sim.SynAxis):
    def __init__(self, *args, **kwargs):
        raise AssertionError("a lazy component was created to describe it")


class Lazy(ophyd.Device):
    axis = Component(NeverCreated, lazy=True)
    table = Component(Stage, lazy=True)
    signal = Component(Signal, value=1)


def test_lazy_components_are_described_from_their_classes_and_not_created():
    device = Lazy(name="lazy")
    created = set(device._signals)
    described = describe(lazy=device)
    assert set(device._signals) == created == {"signal"}
    axis = described["lazy"]["components"]["axis"]
    assert (axis["classname"], flags(axis)) == ("NeverCreated", (True, True, False))
    assert names(axis["components"]) == {
        "acceleration": {},
        "readback": {},
        "setpoint": {},
        "unused": {},
        "velocity": {},
    }
    stage = describe(stage=Stage(name="stage"))["stage"]
    assert described["lazy"]["components"]["table"] == stage


class Detector(ophyd.SimDetector):
    hdf = Component(ophyd.HDF5Plugin, "HDF1:")


class Bench(ophyd.Device):
    detector = Component(make_fake_device(Detector), "D:")
    signal = Component(Signal, value=1)


@pytest.mark.row("plans-and-permissions", "area detectors")
def test_area_detectors_are_not_expanded_unless_they_are_registered():
    fake = make_fake_device(Detector)("SIM:", name="fake")
    camera = make_fake_device(ophyd.CamBase)("SIM:", name="camera")
    helpers.register_device("two_levels", depth=2)
    helpers.register_device("all_levels", depth=0)
    listed = names(
        describe(fake=fake, two_levels=fake, all_levels=fake, camera=camera, bench=Bench("B:", name="bench"))
    )
    assert listed["fake"] == {}
    assert listed["camera"] == {}
    assert listed["bench"] == {"detector": {}, "signal": {}}
    assert listed["two_levels"] == {"cam": {}, "configuration_names": {}, "hdf": {}}
    assert len(listed["all_levels"]["cam"]) > 50


def test_a_component_that_cannot_be_read_is_left_out_with_a_message(caplog):
    class Broken(Readable):
        component_names = ("good", "bad", "missing")
        good = Readable()

        @property
        def bad(self):
            raise TimeoutError("no answer")

    with caplog.at_level(logging.WARNING):
        assert names(describe(d=Broken())) == {"d": {"good": {}}}
    assert "Component 'bad' of a device of class Broken is not listed: no answer" in caplog.text
    assert "'missing'" in caplog.text


def test_hundreds_of_devices_take_milliseconds():
    namespace = {f"d{number}": Station(name="station") for number in range(100)}
    took = []
    for _ in range(3):
        start = time.process_time()
        existing_devices(namespace)
        took.append(time.process_time() - start)
    assert min(took) < 0.1
