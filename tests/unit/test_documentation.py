"""The documentation hangs together and says what the code says: links, commands, options, names, generated pages."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pytest
import yaml

from queueserver_cli import console_monitor, grammar, legacy, qserver, zmq_keys
from queueserver_common.permissions_file import load_permissions_file
from queueserver_http import main as http_server
from queueserver_http.configuration.sources import load as load_http_configuration
from queueserver_manager import clear_lock, exit_codes
from queueserver_manager.core.core import Core
from queueserver_manager.core.methods import METHODS
from queueserver_manager.core.requests import Work, decide
from queueserver_manager.settings.command_line import build_parser
from queueserver_manager.settings.config_file import read_config
from queueserver_worker import list_plans_devices

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs" / "explanations" / "decisions").glob("[0-9]*.md"))
SOURCE_ROOTS = ("common", "manager_image", "worker_image")

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`([^`\n]+)`")
PROGRAMS = {
    "start-re-manager": build_parser(),
    "start-bluesky-httpserver": http_server._parser(),
    "qserver": qserver._parser(),
    "qserver-console-monitor": console_monitor._parser(),
    "qserver-zmq-keys": zmq_keys._parser(),
    "qserver-clear-lock": clear_lock._parser(),
    "qserver-list-plans-devices": list_plans_devices._parser(),
}
OTHER_PROGRAMS_OPTIONS = {"--now", "--user", "--upgrade", "--help", "--decode"}  # of systemctl, uv, base64
CURL_OPTIONS = {"--header", "--json", "--request", "--retry", "--retry-connrefused", "--silent"}
CONTAINER_OPTIONS = {"--rm", "--entrypoint", "--no-cache-dir"}  # of docker and podman, and of pip
KUBECTL_OPTIONS = {"--from-literal", "--no-headers", "--server-side", "--type", "--clusterrole", "--serviceaccount"}
# tests/cluster/test_tutorial.py runs the commands.
TUTORIAL_OPTIONS = {
    "--all",
    "--categories",
    "--current",
    "--for",
    "--install",
    "--namespace",
    "--output",
    "--patch",
    "--selector",
    "--tail",
    "--timeout",
    "--values",
}
# tests/cluster/charts asks helm itself.
HELM_OPTIONS = {
    "--create-namespace",
    "--force-conflicts",
    "--no-hooks",
    "--reset-then-reuse-values",
    "--reuse-values",
    "--set",
    "--set-file",
    "--take-ownership",
    "--wait",
}


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=page_id)


# Pages and links -----------------------------------------------------------------------------------------------------


def links(page: Path) -> list[str]:
    """Targets of the links of a page to places in the repository."""
    found = LINK.findall(FENCE.sub("", page.read_text()))
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]


def anchors(page: Path) -> set[str]:
    """The fragments under which the headings of a page are found, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@every_page
def test_every_link_leads_to_a_place_that_exists(page: Path):
    broken = []
    for target in links(page):
        name, _, fragment = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (fragment and fragment not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme():
    reached: set[Path] = set()
    waiting = [ROOT / "README.md", ROOT / "CHANGELOG.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            files = [target.split("#")[0] for target in links(page)]
            waiting += [(page.parent / file).resolve() for file in files if file.endswith(".md")]
    assert sorted(set(PAGES) - reached) == []


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_every_decision_record_has_the_form_of_the_template(page: Path):
    text = page.read_text()
    assert text.startswith(f"# {page.name[:4]}. ")
    headings = ["\nStatus: ", "\n## Context\n", "\n## Decision\n", "\n## Consequences\n"]
    positions = [text.find(heading) for heading in headings]
    assert -1 not in positions
    assert positions == sorted(positions)


def test_decision_records_are_numbered_without_gaps():
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(len(DECISIONS)))


def test_the_list_of_decision_records_gives_each_its_title():
    listed = (DECISIONS[0].parent / "README.md").read_text()
    for page in DECISIONS[1:]:
        title = page.read_text().splitlines()[0].partition(". ")[2]
        assert f"| [{page.name[:4]}]({page.name}) | {title} |" in listed


# Generated pages -----------------------------------------------------------------------------------------------------


def test_the_generated_pages_say_what_the_code_says():
    command = [sys.executable, str(ROOT / "scripts" / "reference.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def required_parameters() -> Iterator[tuple[str, str]]:
    """Method and name of the parameters that the page of methods calls required."""
    page = (ROOT / "docs" / "reference" / "methods.md").read_text()
    for section in page.split("\n### ")[1:]:
        for name in re.findall(r"^\| `(\w+)` \| .* \| required \|$", section, re.MULTILINE):
            yield section.splitlines()[0], name


@pytest.mark.parametrize(("method", "name"), [*required_parameters()])
def test_a_parameter_that_the_reference_calls_required_is_missed(method: str, name: str):
    core = Core(lambda: "uid")
    core.set_permissions(load_permissions_file(ROOT / "sim_profile" / "user_group_permissions.yaml"))
    item = {"item_type": "instruction", "name": "queue_stop"}
    if method == "function_execute":
        item = {"item_type": "function", "name": "function_sleep"}
    values = {
        "user": "x",
        "user_group": "primary",
        "item": item,
        "items": [item],
        "uids": [],
        "mode": {},
        "enable": True,
        "lock_key": "secret",
        "queue": True,
        "script": "",
        "task_uid": "x",
        "user_group_permissions": core.lists.permissions.as_mapping(),
    }
    known = [parameter.name for parameter in METHODS[method].parameters]
    complete = {key: value for key, value in values.items() if key in known}
    incomplete = {key: value for key, value in complete.items() if key != name}
    replies = []
    for params in (complete, incomplete):
        decision = decide(core, method, params, 0.0)
        if isinstance(decision, Work):
            decision = decision.advance(0.0, lambda: False)
        assert decision is not None
        assert decision.reply is not None
        replies.append(decision.reply)
    assert replies[1]["success"] is False
    assert replies[1]["msg"] != replies[0]["msg"]


def test_the_reference_tells_required_parameters():
    assert len(list(required_parameters())) >= 15


# Commands ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A line that a reader may type."""

    page: Path
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{page_id(self.page)}: {shlex.join(self.words)}"


def code_lines(page: Path) -> Iterator[str]:
    """Lines of blocks of code and pieces of code in the text, without those of other languages."""
    text = page.read_text()
    for language, block in FENCE.findall(text):
        if language in ("", "bash", "sh", "console"):
            yield from block.replace("\\\n", " ").splitlines()
        if language == "ini":
            yield from re.findall(r"^ExecStart=(.*)$", block, re.MULTILINE)
    rest = FENCE.sub("", text)
    yield from re.findall(r"^(?: {4}| {7}| {3,}(?=\S))(\S.*)$", rest.replace("\\\n", " "), re.MULTILINE)
    yield from INLINE_CODE.findall(re.sub(r"^ {4}.*$", "", rest, flags=re.MULTILINE))


def commands() -> Iterator[Command]:
    for page in PAGES:
        for line in code_lines(page):
            typed = line.strip().removeprefix("$ ")
            program, _, _ = typed.partition(" ")
            if program.rpartition("/")[2] in PROGRAMS and " " in typed:
                words = list(takewhile(lambda word: word not in ("|", ">", "&&"), shlex.split(typed, comments=True)))
                yield Command(page, (words[0].rpartition("/")[2], *words[1:]))


COMMANDS = list(commands())


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_command_is_understood_by_its_program(command: Command):
    program, *words = command.words
    parser = PROGRAMS[program]
    if program != "qserver":
        parser.parse_args(words)
        return
    options = parser.parse_intermixed_args(words)
    old = options.old_command
    said = options.command if old is None else legacy.todays_words(old, options.old_parameters)
    request = grammar.parse(said, lock_key=options.lock_key)
    assert request.method in METHODS or request.method in ("ping", "status")


def test_commands_are_found():
    assert len([command for command in COMMANDS if command.words[0] == "qserver"]) > 25
    assert len([command for command in COMMANDS if command.words[0] == "start-re-manager"]) > 8


@every_page
def test_every_option_exists(page: Path):
    known = {option for parser in PROGRAMS.values() for action in parser._actions for option in action.option_strings}
    for parsing in ("benchmarks/__main__.py", "tests/cluster/kind/__main__.py", "tests/conftest.py"):
        known |= set(re.findall(r"\"(--[\w-]+)\"", (ROOT / parsing).read_text()))
    known |= (
        OTHER_PROGRAMS_OPTIONS | CURL_OPTIONS | CONTAINER_OPTIONS | KUBECTL_OPTIONS | TUTORIAL_OPTIONS | HELM_OPTIONS
    )
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", page.read_text())) - known == set()


@every_page
def test_every_make_target_exists(page: Path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = [line.split() for line in code_lines(page) if line.startswith("make ")]
    assert {words[1] for words in named if "=" not in words[1]} - targets == set()


# Names ---------------------------------------------------------------------------------------------------------------


def exists(dotted: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    try:
        if importlib.util.find_spec(dotted) is not None:
            return True
    except ModuleNotFoundError:
        pass
    module, _, name = dotted.rpartition(".")
    return bool(module) and exists(module) and hasattr(importlib.import_module(module), name)


@every_page
def test_every_module_exists(page: Path):
    named = {code for code in INLINE_CODE.findall(page.read_text()) if re.fullmatch(r"queueserver_\w+(\.\w+)*", code)}
    assert [name for name in sorted(named) if not exists(name)] == []


@every_page
def test_every_path_in_the_repository_exists(page: Path):
    folders = (*SOURCE_ROOTS, "benchmarks", "docs", "requirements", "scripts", "sim_profile", "tests")
    named = {code for code in INLINE_CODE.findall(page.read_text()) if code.split("/")[0] in folders and "/" in code}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_environment_variable_is_read_by_a_program():
    sources = "".join(path.read_text() for root in SOURCE_ROOTS for path in (ROOT / root).rglob("*.py"))
    # Some names are put together from parts.
    known = set(re.findall(r"QSERVER_\w+", sources)) | {action.help or "" for action in build_parser()._actions}
    texts = {name for page in PAGES for name in re.findall(r"QSERVER_\w+", page.read_text())}
    assert [name for name in sorted(texts) if not any(name in text for text in known)] == []


# Files to copy -------------------------------------------------------------------------------------------------------


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (page_id(page), block)
        for page in PAGES
        for found, block in FENCE.findall(page.read_text())
        if found == language
    ]


@pytest.mark.parametrize(("page", "block"), blocks("yaml"), ids=[page for page, _ in blocks("yaml")])
def test_every_yaml_file_is_accepted(page: str, block: str, tmp_path: Path):
    file = tmp_path / "file.yaml"
    file.write_text(block)
    if "user_groups" in yaml.safe_load(block):
        assert load_permissions_file(file)
    elif "http" in page:
        assert load_http_configuration(str(file), {})
    else:
        assert read_config(file, {})


@pytest.mark.parametrize(("page", "block"), blocks("python"), ids=[page for page, _ in blocks("python")])
def test_every_python_example_compiles(page: str, block: str):
    compile(block, page, "exec")


def test_the_service_is_not_restarted_where_that_cannot_help():
    ((_, unit),) = blocks("ini")
    assert f"RestartPreventExitStatus={exit_codes.USAGE} {exit_codes.REFUSED} {exit_codes.FENCED}\n" in unit
    assert "KillMode=process\n" in unit
