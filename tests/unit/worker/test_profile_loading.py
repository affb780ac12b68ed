"""Loading startup code from a directory, a script and a module (plans-and-permissions 1)."""

from __future__ import annotations

import sys
import textwrap
import traceback
import typing
from pathlib import Path

import pytest

from queueserver_common.startup import StartupSource
from queueserver_worker.profile import StartupError


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


# Directory ------------------------------------------------------------------------------------------------------


@pytest.mark.row("plans-and-permissions", "directory: order and namespace")
def test_files_run_in_the_order_of_their_names_in_one_namespace(load, startup_dir):
    write(startup_dir / "a.py", "order.append('a')")
    write(startup_dir / "10-x.py", "order = ['10']")
    write(startup_dir / "Z.py", "order.append('Z')")
    write(startup_dir / "b.ipy", "order.append('b')")
    assert load("directory", startup_dir)["order"] == ["10", "Z", "a", "b"]


@pytest.mark.row("plans-and-permissions", "directory: only its code files")
def test_other_files_and_folders_are_not_startup_code(load, startup_dir):
    write(startup_dir / "a.py", "x = 1")
    write(startup_dir / "notes.txt", "raise SystemExit")
    write(startup_dir / "below" / "b.py", "raise SystemExit")
    (startup_dir / "folder.py").mkdir()
    assert load("directory", startup_dir)["x"] == 1


@pytest.mark.row("plans-and-permissions", "directory: __file__ and __name__")
def test_each_file_knows_its_name_and_runs_as_main(load, startup_dir):
    for name in ("a", "b"):
        write(
            startup_dir / f"{name}.py", f"{name} = (__file__, __name__)\nif __name__ == '__main__': {name}_main = True"
        )
    namespace = load("directory", startup_dir)
    assert namespace["a"] == (str(startup_dir / "a.py"), "__main__")
    assert namespace["b"] == (str(startup_dir / "b.py"), "__main__")
    assert namespace["a_main"]
    assert namespace["b_main"]
    assert "__file__" not in namespace


@pytest.mark.row("plans-and-permissions", "directory: on the path")
def test_packages_beside_the_startup_files_can_be_imported_during_and_after_loading(load, startup_dir):
    write(startup_dir / "parts_of_test" / "__init__.py", "")
    write(startup_dir / "parts_of_test" / "later.py", "x = 1")
    write(startup_dir / "a.py", "import parts_of_test\ndef f():\n    import parts_of_test.later as p\n    return p.x")
    assert load("directory", startup_dir)["f"]() == 1


def test_a_future_import_holds_for_its_own_file_only(load, startup_dir):
    write(startup_dir / "a.py", "from __future__ import annotations\ndef f(x: int): ...")
    write(startup_dir / "b.py", "def g(x: int): ...")
    namespace = load("directory", startup_dir)
    assert namespace["f"].__annotations__ == {"x": "int"}
    assert namespace["g"].__annotations__ == {"x": int}


def test_classes_of_startup_code_are_found_in_the_main_module(load, startup_dir):
    write(
        startup_dir / "a.py",
        """
        from __future__ import annotations
        class Part: ...
        class Whole:
            part: Part
        """,
    )
    namespace = load("directory", startup_dir)
    assert sys.modules["__main__"].Whole is namespace["Whole"]
    assert typing.get_type_hints(namespace["Whole"]) == {"part": namespace["Part"]}


@pytest.mark.row("plans-and-permissions", "directory: empty or missing")
@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: path.mkdir(), "at least one *.py or *.ipy file"),
        (lambda path: None, "does not exist"),
        (lambda path: path.touch(), "is not a directory"),
    ],
)
def test_a_directory_without_startup_code_is_refused(load, tmp_path, make, problem):
    make(tmp_path / "startup")
    with pytest.raises(StartupError, match=r"The startup directory .*") as refused:
        load("directory", tmp_path / "startup")
    assert problem in refused.value.message
    assert refused.value.file == str(tmp_path / "startup")


# IPython in plain Python ----------------------------------------------------------------------------------------


@pytest.mark.row("plans-and-permissions", "get_ipython in files of a directory")
@pytest.mark.parametrize(
    "code",
    [
        "shell = get_ipython()",
        "from IPython import get_ipython\nshell = get_ipython()",
        "from IPython import get_ipython as gi; shell = gi()",
        "from IPython import (version_info,\n    get_ipython)\nshell = get_ipython() if version_info else None",
        "from IPython.core.getipython import get_ipython\nshell = get_ipython()",
        "def f():\n    from IPython import get_ipython\n    return get_ipython()\nshell = f()",
    ],
)
def test_get_ipython_returns_an_object_with_user_ns_and_log(load, startup_dir, code):
    write(startup_dir / "a.py", code + "\nshell.log.info('hello')\nshell.user_ns['added'] = 1")
    namespace = load("directory", startup_dir)
    assert namespace["shell"].user_ns is namespace
    assert namespace["added"] == 1


def test_anything_else_of_get_ipython_says_that_this_is_plain_python(load, startup_dir):
    write(startup_dir / "a.py", "get_ipython().run_line_magic('matplotlib', 'qt')")
    with pytest.raises(StartupError, match="'run_line_magic' in plain Python"):
        load("directory", startup_dir)


@pytest.mark.parametrize("line", ["%matplotlib qt", "where = %pwd", "!ls", "det?", "files = !ls"])
def test_ipython_syntax_is_named_with_file_and_line(load, startup_dir, line):
    write(startup_dir / "a.ipy", f"x = 1\n{line}\n")
    with pytest.raises(StartupError, match="IPython syntax cannot run in plain Python") as failed:
        load("directory", startup_dir)
    assert repr(line) in failed.value.message
    assert (failed.value.file, failed.value.line) == (str(startup_dir / "a.ipy"), 2)


# Errors ---------------------------------------------------------------------------------------------------------


def test_an_exception_is_told_with_file_line_and_the_users_part_of_the_traceback(load, startup_dir):
    path = write(startup_dir / "a.py", "def f():\n    return unknown_name\n\nf()\n")
    with pytest.raises(StartupError) as failed:
        load("directory", startup_dir)
    error = failed.value
    assert error.message == f"NameError: name 'unknown_name' is not defined ({path}, line 2)"
    assert (error.exception, error.file, error.line) == ("NameError", str(path), 2)
    assert "    return unknown_name" in error.traceback
    assert error.traceback.startswith(f'Traceback (most recent call last):\n  File "{path}", line 4, in <module>')
    assert "queueserver_worker" not in error.traceback


def test_the_location_is_in_startup_code_although_a_library_raised(load, startup_dir):
    path = write(startup_dir / "a.py", "import json\n\njson.loads('{')\n")
    with pytest.raises(StartupError) as failed:
        load("directory", startup_dir)
    assert (failed.value.file, failed.value.line) == (str(path), 3)
    assert "json/decoder.py" in failed.value.traceback


def test_causes_are_part_of_the_traceback(load, startup_dir):
    write(
        startup_dir / "a.py", "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise OSError('no beam') from e\n"
    )
    with pytest.raises(StartupError, match="OSError: no beam") as failed:
        load("directory", startup_dir)
    assert "ZeroDivisionError" in failed.value.traceback
    assert "queueserver_worker" not in failed.value.traceback


def test_a_syntax_error_is_told_with_file_and_line(load, startup_dir):
    path = write(startup_dir / "a.py", "x = 1\ny = = 2\n")
    with pytest.raises(StartupError) as failed:
        load("directory", startup_dir)
    assert failed.value.message == f"SyntaxError: invalid syntax ({path}, line 2)"
    assert "y = = 2" in failed.value.traceback


def test_code_that_exits_is_an_error_and_does_not_end_the_worker(load, startup_dir):
    write(startup_dir / "a.py", "import sys\nsys.exit(3)\n")
    with pytest.raises(StartupError, match="SystemExit: 3"):
        load("directory", startup_dir)


def test_an_interrupt_by_a_person_passes(load, startup_dir):
    write(startup_dir / "a.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load("directory", startup_dir)


def test_a_traceback_shows_the_text_that_was_loaded_also_after_an_edit(load, startup_dir):
    path = write(startup_dir / "a.py", "def f():\n    raise ValueError('loaded')\n")
    namespace = load("directory", startup_dir)
    path.write_text("# another line\n# and one more\n")
    with pytest.raises(ValueError, match="loaded") as raised:
        namespace["f"]()
    assert "raise ValueError('loaded')" in "".join(traceback.format_exception(raised.value))


def test_files_in_any_declared_encoding_are_read(load, startup_dir):
    (startup_dir / "a.py").write_bytes("# -*- coding: latin-1 -*-\nname = 'Größe'\n".encode("latin-1"))
    assert load("directory", startup_dir)["name"] == "Größe"


# Script ---------------------------------------------------------------------------------------------------------


@pytest.mark.row("plans-and-permissions", "script")
def test_a_script_runs_as_main_with_its_directory_on_the_path_while_it_runs(load, tmp_path):
    write(tmp_path / "helper_of_script.py", "value = 5")
    script = write(
        tmp_path / "script.py",
        "import sys, helper_of_script\nseen = (__name__, __file__, sys.path[0], helper_of_script.value)",
    )
    namespace = load("script", script)
    assert namespace["seen"] == ("__main__", str(script), str(tmp_path), 5)
    assert str(tmp_path) not in sys.path


@pytest.mark.row("plans-and-permissions", "script: modules beside it are read again")
def test_modules_beside_a_script_are_read_again_by_the_next_run(load, tmp_path):
    helper = write(tmp_path / "helper_of_script.py", "value = 'first'")
    script = write(tmp_path / "script.py", "from helper_of_script import value\nimport json")
    assert load("script", script)["value"] == "first"
    assert "helper_of_script" not in sys.modules
    assert "json" in sys.modules
    helper.write_text("value = 'the second'")
    assert load("script", script)["value"] == "the second"


def test_a_script_is_not_patched(load, tmp_path):
    script = write(tmp_path / "script.py", "has_it = 'get_ipython' in globals()")
    assert load("script", script)["has_it"] is False


def test_a_missing_script_is_refused(load, tmp_path):
    with pytest.raises(StartupError, match="does not exist"):
        load("script", tmp_path / "missing.py")
    with pytest.raises(StartupError, match="is not a file"):
        load("script", tmp_path)


def test_an_error_in_a_module_beside_the_script_is_located_there(load, tmp_path):
    helper = write(tmp_path / "helper_of_script.py", "\n\n1 / 0\n")
    script = write(tmp_path / "script.py", "import helper_of_script")
    with pytest.raises(StartupError, match="ZeroDivisionError") as failed:
        load("script", script)
    assert (failed.value.file, failed.value.line) == (str(helper), 3)
    assert str(tmp_path) not in sys.path
    assert "importlib" not in failed.value.traceback


# Module ---------------------------------------------------------------------------------------------------------


@pytest.mark.row("plans-and-permissions", "module")
def test_the_names_of_a_module_are_copied(load, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path / "startup_package_of_test" / "__init__.py", "")
    write(tmp_path / "startup_package_of_test" / "profile.py", "x = 1\nname = __name__")
    namespace = load("module", "startup_package_of_test.profile")
    assert (namespace["x"], namespace["name"]) == (1, "startup_package_of_test.profile")
    namespace["x"] = 2
    assert sys.modules["startup_package_of_test.profile"].x == 1


@pytest.mark.parametrize("name", ["no_such_module_of_test", "json.no_such_part"])
def test_a_missing_module_is_refused_with_a_hint(load, name):
    with pytest.raises(StartupError, match=f"The startup module '{name}' cannot be found.*PYTHONPATH"):
        load("module", name)


def test_an_error_in_a_module_is_located_in_its_package(load, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path / "broken_package_of_test" / "__init__.py", "")
    write(tmp_path / "broken_package_of_test" / "profile.py", "import broken_package_of_test.devices")
    devices = write(tmp_path / "broken_package_of_test" / "devices.py", "\nimport no_such_library_of_test")
    with pytest.raises(StartupError, match="No module named 'no_such_library_of_test'") as failed:
        load("module", "broken_package_of_test.profile")
    assert (failed.value.file, failed.value.line) == (str(devices), 2)
    assert "queueserver_worker" not in failed.value.traceback
    assert "importlib" not in failed.value.traceback


# Source ---------------------------------------------------------------------------------------------------------


def test_a_source_survives_json():
    source = StartupSource("script", "/a/b.py")
    assert StartupSource.parse(source.as_mapping()) == source


@pytest.mark.parametrize(
    "mapping", [{}, [], None, {"kind": "folder", "value": "x"}, {"kind": "module", "value": ""}, {"kind": "module"}]
)
def test_anything_else_is_no_source(mapping):
    with pytest.raises(ValueError, match="startup code"):
        StartupSource.parse(mapping)
