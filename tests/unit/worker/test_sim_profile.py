"""The simulated profile (demo-profile.md)."""

from __future__ import annotations

import ast
import sys
import time
from pathlib import Path

import pytest
import yaml
from bluesky import RunEngine

from queueserver_common.lists_file import LISTS_FILE_NAME, write_lists
from queueserver_common.permissions import Permissions, compute_allowed
from queueserver_common.simulated_profile import simulated_profile_dir
from queueserver_common.startup import StartupSource
from queueserver_common.validation import GroupValidator
from queueserver_worker.describe import existing_devices, existing_plans
from queueserver_worker.prepare import prepare_plan
from queueserver_worker.profile import load_startup

PROFILE = simulated_profile_dir()

DEVICES = """
    ab_det bool_sig det det1 det2 det3 det4 det5 det_with_conf det_with_count_time direct_img direct_img_list flyer1
    flyer2 identical_det img invariant1 invariant2 jittery_motor1 jittery_motor2 motor motor1 motor2 motor3
    motor_empty_hints1 motor_empty_hints2 motor_no_hints1 motor_no_hints2 motor_no_pos new_trivial_flyer noisy_det
    pseudo1x3 pseudo3x3 rand rand2 sig signal trivial_flyer custom_test_device custom_test_signal custom_test_flyer
    sim_bundle_A sim_bundle_B
""".split()  # noqa: SIM905

PLANS = """
    mv mvr null adaptive_scan count fly grid_scan inner_product_scan list_grid_scan list_scan log_scan ramp_plan
    rel_adaptive_scan rel_grid_scan rel_list_grid_scan rel_list_scan rel_log_scan rel_scan rel_spiral rel_spiral_fermat
    rel_spiral_square relative_inner_product_scan scan scan_nd spiral spiral_fermat spiral_square tune_centroid tweak
    x2x_scan marked_up_count move_then_count _sim_plan_inner sim_multirun_plan_nested count_bundle_test
    plan_test_progress_bars
""".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def namespace():
    """The loaded profile; the RunEngine's thread stays until the tests end."""
    main, path, finders = sys.modules["__main__"], list(sys.path), list(sys.meta_path)
    yield load_startup(StartupSource("directory", str(PROFILE)))
    sys.modules["__main__"] = main
    sys.path[:], sys.meta_path[:] = path, finders


@pytest.fixture(scope="module")
def lists(namespace):
    devices = existing_devices(namespace)
    return existing_plans(namespace, devices=devices), devices


@pytest.fixture(scope="module")
def groups(lists):
    permissions = Permissions.parse(yaml.safe_load((PROFILE / "user_group_permissions.yaml").read_text()))
    return permissions, compute_allowed(*lists, permissions)


@pytest.fixture
def run(namespace, groups):
    """Run an item of the group `primary` and return the documents by name."""

    def run(name, *args, group="primary", **kwargs):
        allowed = groups[1][group]
        item = {"item_type": "plan", "name": name, "args": list(args), "kwargs": kwargs}
        prepared = prepare_plan(item, namespace, allowed, GroupValidator(allowed))
        documents = []
        namespace["RE"](
            prepared.plan_func(*prepared.args, **prepared.kwargs),
            lambda name, document: documents.append((name, document)),
            **prepared.meta,
        )
        return documents

    return run


def test_the_checked_in_lists_are_what_the_profile_defines(lists, tmp_path):
    plans, devices = lists
    write_lists(tmp_path / LISTS_FILE_NAME, plans, devices)
    assert (PROFILE / LISTS_FILE_NAME).read_text() == (tmp_path / LISTS_FILE_NAME).read_text(), (
        "run: qserver-list-plans-devices --startup-dir sim_profile --file-dir sim_profile"
    )


def test_all_names_are_there(lists, namespace):
    plans, devices = lists
    assert sorted(devices) == sorted(DEVICES)
    assert sorted(plans) == sorted(PLANS)
    for name in ("function_sleep", "push_buffer_element", "pop_buffer_element", "clear_buffer"):
        assert callable(namespace[name])
    assert namespace["ttime"] is time


def test_there_are_four_files():
    assert len(list(PROFILE.glob("*.py"))) == 4
    assert {path.name for path in PROFILE.iterdir() if path.suffix == ".yaml"} == {
        LISTS_FILE_NAME,
        "user_group_permissions.yaml",
    }


def test_the_run_engine_has_metadata_and_no_plots(namespace):
    assert isinstance(namespace["RE"], RunEngine)
    assert namespace["RE"].md["metadata_key"] == "metadata_value"
    assert not namespace["bec"]._plots_enabled


def test_own_classes_are_of_main_and_their_trees_are_complete(lists):
    bundle = lists[1]["sim_bundle_A"]
    assert (bundle["classname"], bundle["module"]) == ("SimBundle", "__main__")
    motors, detectors = bundle["components"]["mtrs"], bundle["components"]["dets"]
    assert (motors["classname"], motors["is_movable"], list(motors["components"])) == (
        "SimStage",
        True,
        ["x", "y", "z"],
    )
    assert (detectors["classname"], detectors["is_movable"]) == ("SimDetectors", False)
    assert list(detectors["components"]) == ["det_A", "det_B"]
    assert {device["classname"] for device in detectors["components"].values()} == {"SynGauss"}
    assert lists[1]["custom_test_flyer"]["is_flyable"]
    assert lists[1]["custom_test_device"]["classname"] == "Device"


def test_the_annotations_of_move_then_count(lists):
    motors, detectors, positions = lists[0]["move_then_count"]["parameters"]
    assert motors["annotation"] == {"type": "typing.List[Motors]", "devices": {"Motors": ["motor1", "motor2"]}}
    assert detectors["annotation"]["devices"] == {"Detectors": ["det1", "det2", "det3"]}
    assert (detectors["default"], detectors["default_defined_in_decorator"]) == ("['det1', 'det2']", True)
    assert positions["annotation"] == {"type": "typing.List[float]"}
    assert (positions["min"], positions["max"], positions["step"]) == ("-10", "10", "0.01")


def test_count_bundle_test_offers_all_components_of_the_bundles(lists):
    offered = lists[0]["count_bundle_test"]["parameters"][0]["annotation"]["devices"]["DetList"]
    assert offered[:6] == ["det", "det1", "det2", "det3", "sim_bundle_A", "sim_bundle_A.dets"]
    assert "sim_bundle_B.mtrs.z.velocity" in offered
    detectors, motors = 1 + 2 + 2 * 6, 1 + 3 + 3 * 5
    assert len(offered) == 4 + 2 * (1 + detectors + motors)


def test_describing_takes_less_than_60_ms(namespace):
    took = []
    for _ in range(5):
        start = time.process_time()
        devices = existing_devices(namespace)
        existing_plans(namespace, devices=devices)
        took.append(time.process_time() - start)
    assert min(took) < 0.06


# Plans ----------------------------------------------------------------------------------------------------------


def counts(documents, name):
    return sum(1 for kind, _ in documents if kind == name)


def test_marked_up_count_counts(run, namespace):
    """Its list of anything is not a list of devices, so names of devices stay strings."""
    assert counts(run("marked_up_count", [], num=3), "event") == 0
    plan = namespace["marked_up_count"]([namespace["det1"]], num=3)
    documents = []
    namespace["RE"](plan, lambda name, document: documents.append((name, document)))
    assert counts(documents, "event") == 3
    assert documents[0][1]["plan_name"] == "count"


def test_move_then_count_moves_all_motors_and_counts_with_default_detectors(run, namespace):
    documents = run("move_then_count", ["motor1", "motor2"], positions=[3, -4.5])
    assert namespace["motor1"].position == 3
    assert namespace["motor2"].position == -4.5
    assert documents[0][1]["detectors"] == ["det1", "det2"]


@pytest.mark.parametrize(
    "arguments", [("motor1", ["det1"], [1]), (["motor1"], ["det1"], None), (["motor1"], ["det1"], [1, 2])]
)
def test_move_then_count_refuses_what_is_no_list_and_unequal_lengths(namespace, arguments):
    with pytest.raises(TypeError):
        list(namespace["move_then_count"](*arguments))


def test_a_nested_plan_has_a_run_inside_a_run(run, namespace):
    documents = run("sim_multirun_plan_nested", npts=4, delay=0)
    assert [kind for kind, _ in documents if kind in ("start", "stop")] == ["start", "start", "stop", "stop"]
    outer, inner = (document["uid"] for kind, document in documents if kind == "start")
    runs = {document["uid"]: document["run_start"] for kind, document in documents if kind == "descriptor"}
    points = [runs[document["descriptor"]] for kind, document in documents if kind == "event"]
    assert points == [outer] * 2 + [inner] * 5 + [outer] * 2
    assert namespace["motor1"].position == pytest.approx(1.4)
    assert namespace["motor2"].position == pytest.approx(-1.2)
    assert namespace["motor"].position == pytest.approx(0.6)


def test_count_bundle_test_reads_components(run):
    documents = run("count_bundle_test", ["det1", "sim_bundle_A.dets.det_A"])
    assert documents[0][1]["detectors"] == ["det1", "sim_bundle_A_dets_det_A"]


def test_the_bundles_detectors_look_at_the_global_motors(run, namespace):
    def read(position):
        run("mv", "motor1", position, "motor2", position)
        run("count", ["sim_bundle_A.dets.det_A", "sim_bundle_A.dets.det_B"])
        detectors = namespace["sim_bundle_A"].dets
        return detectors.det_A.val.get(), detectors.det_B.val.get()

    assert read(0) == (5, 5)
    assert max(read(50)) < 1e-6


def test_the_stage_moves_its_three_axes(namespace):
    stage = namespace["sim_bundle_B"].mtrs
    status = stage.set(1, 2, 3)
    status.wait(timeout=5)
    assert (stage.x.position, stage.y.position, stage.z.position) == (1, 2, 3)


def test_progress_bars_are_drawn_to_their_ends(namespace, capsys):
    sleeps = []
    for message in namespace["plan_test_progress_bars"](2):
        assert message.command == "sleep"
        sleeps.append(message.args[0])
        time.sleep(message.args[0] / 10)  # ten times as fast as in a RunEngine
    assert sleeps == [0.5] * 10
    lines = capsys.readouterr().out
    assert "bar 1" in lines
    assert "bar 2" in lines
    assert "100%" in lines
    assert lines.splitlines()[0] == "plan_test_progress_bars: 2 started"
    assert lines.splitlines()[-1].endswith("plan_test_progress_bars: finished")


# Functions ------------------------------------------------------------------------------------------------------


def test_function_sleep_tells_what_it_does(namespace, capsys):
    assert namespace["function_sleep"](0.01) == {"success": True, "time": 0.01}
    first, second, _third = capsys.readouterr().out.splitlines()
    assert "function_sleep" in first
    assert "0.01" in second


def test_the_buffer_is_first_in_first_out(namespace):
    namespace["clear_buffer"]()
    for element in (1, "two"):
        namespace["push_buffer_element"](element)
    assert [namespace["pop_buffer_element"](), namespace["pop_buffer_element"]()] == [1, "two"]
    with pytest.raises(IndexError):
        namespace["pop_buffer_element"]()
    namespace["push_buffer_element"](3)
    namespace["clear_buffer"]()
    with pytest.raises(IndexError):
        namespace["pop_buffer_element"]()


# Groups ---------------------------------------------------------------------------------------------------------


def test_the_group_primary_may_use_everything_without_underscore_and_one_function(groups):
    permissions, allowed = groups
    assert sorted(allowed["primary"].plans) == sorted(set(PLANS) - {"_sim_plan_inner"})
    assert sorted(allowed["primary"].devices) == sorted(DEVICES)
    assert permissions.function_allowed("function_sleep", "primary")
    assert permissions.function_allowed("func_for_test_a", "primary")
    assert not permissions.function_allowed("clear_buffer", "primary")
    assert not permissions.function_allowed("_func", "root")


def test_the_group_test_user_may_use_little(groups):
    permissions, allowed = groups
    plans, devices = allowed["test_user"].plans, allowed["test_user"].devices
    assert "count" in plans
    assert "count_bundle_test" in plans
    assert "rel_scan" in plans
    assert not {"adaptive_scan", "inner_product_scan", "mv", "move_then_count"} & set(plans)
    assert {"det", "det1", "det2", "motor", "sim_bundle_A"} <= set(devices)
    assert not {"det3", "det4", "det5", "motor1", "motor2", "motor3", "sim_bundle_B", "sig"} & set(devices)
    for name in ("push_buffer_element", "function_sleep", "clear_buffer", "unit_test_a"):
        assert permissions.function_allowed(name, "test_user")
    assert not permissions.function_allowed("func_for_test_a", "test_user")


def test_the_files_are_plain_python():
    for path in PROFILE.glob("*.py"):
        ast.parse(Path(path).read_text(), filename=str(path))
