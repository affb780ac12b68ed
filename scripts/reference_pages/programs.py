"""docs/reference/programs/: options and commands of the programs."""

from __future__ import annotations

import argparse

from queueserver_cli import console_monitor, grammar, kernel_console, qserver, zmq_keys
from queueserver_manager import clear_lock
from queueserver_manager.core.methods import METHODS
from queueserver_manager.settings.declaration import Group, Setting
from queueserver_manager.settings.table import CONFIG, SETTINGS
from queueserver_worker import list_plans_devices
from reference_pages import markdown
from reference_pages.markdown import code, codes, table, text

_SETTINGS = """\
Starts the manager of a queue server, under a supervisor that starts it again when it crashed.

A setting comes from the command line, else from the configuration file, else from the environment, else from its
default. The configuration file is YAML; the part before the slash of a key is its section. Instead of one file a
directory can be named; then all its `*.yml` and `*.yaml` files are read, and a section may stand in one of them only.
`$NAME` and `${NAME}` in texts are replaced by environment variables.

On the command line and in the environment a switch is `ON` or `OFF`, in the file `true` or `false`. Secrets have no
option: every user of the machine can read command lines. With the variable `QSERVER_SETTINGS_SAVE_TO_FILE` the settings
that came out of all this are written to a YAML file at the start, secrets masked."""

_COMMANDS = """\
Sends one request to the manager and shows the reply. At a terminal it draws tables; where the output goes elsewhere, it
prints the reply as a Python mapping below a line `Arguments: [...]`, which scripts may rely on.

A PLAN or FUNCTION is one word: a mapping with `name` and, where needed, `args`, `kwargs` and `meta`, written as JSON or
as a Python literal. An INDEX counts from 0 at the front; negative ones count from the back. User and group of the
requests are `qserver-cli` and `primary`."""


def pages() -> dict[str, str]:
    """The pages by their file names."""
    return {
        "start-re-manager.md": _start_re_manager(),
        "qserver.md": _qserver(),
        "qserver-console-monitor.md": _options_page(console_monitor._parser()),  # noqa: SLF001
        "qserver-console.md": _options_page(kernel_console.parser(kernel_console.CONSOLE)),
        "qserver-qtconsole.md": _options_page(kernel_console.parser(kernel_console.QTCONSOLE)),
        "qserver-zmq-keys.md": _options_page(zmq_keys._parser()),  # noqa: SLF001
        "qserver-clear-lock.md": _options_page(clear_lock._parser()),  # noqa: SLF001
        "qserver-list-plans-devices.md": _options_page(list_plans_devices._parser()),  # noqa: SLF001
    }


def _start_re_manager() -> str:
    blocks = [_SETTINGS, table(_HEAD, [_setting(CONFIG)])]
    for group in Group:
        title = str(group)
        blocks += [f"## {title[0].upper()}{title[1:]}"]
        blocks += [table(_HEAD, [_setting(setting) for setting in SETTINGS if setting.group is group])]
    return markdown.page("start-re-manager", "the table in `queueserver_manager.settings.table`", *blocks)


_HEAD = ("option", "key in the configuration file", "environment variable", "default", "meaning")


def _setting(setting: Setting) -> tuple[str, ...]:
    if setting.flags:
        option = codes(flag for flag, _ in setting.flags)
    else:
        option = code(
            f"{setting.option} {setting.kind.metavar}" if setting.option and not setting.switch else setting.option
        )
    meaning = text(setting.help)
    if setting.flags:
        meaning += f" ({', '.join(f'`{flag}`: {value}' for flag, value in setting.flags)})"
    if old := (*setting.deprecated_options, *setting.deprecated_variables):
        meaning += f". Deprecated spelling: {codes(old)}"
    return option, code(setting.key), code(setting.variable), _default(setting), f"{meaning.rstrip('.')}."


def _default(setting: Setting) -> str:
    if setting.default_text:
        return text(setting.default_text)
    if isinstance(setting.default, bool):
        return "ON" if setting.default else "OFF"
    return "" if setting.default in (None, "") else code(setting.default)


def _qserver() -> str:
    rows = [
        (code(command.usage), command.summary, f"[`{command.method}`]({_link(command.method)})", _key(command))
        for command in grammar.COMMANDS
        if _is_offered(command.method)
    ]
    others = [command for command in grammar.COMMANDS if not _is_offered(command.method)]
    blocks = [_COMMANDS, "## Options", _options(qserver._parser())]  # noqa: SLF001
    blocks += ["## Commands", table(("command", "what it does", "method", "takes `-k`"), rows)]
    if others:
        blocks += [
            "## Commands for methods that this manager does not offer",
            "They are known to the program and work with a manager that has them; this one refuses the method.",
            table(("command", "what it does"), [(code(command.usage), command.summary) for command in others]),
        ]
    return markdown.page("qserver", "the table in `queueserver_cli.grammar`", *blocks)


def _is_offered(method: str) -> bool:
    return method in METHODS or method in ("ping", "status")


def _link(method: str) -> str:
    return f"../methods.md#{method}" if method in METHODS else "../status.md"


def _key(command: grammar.Command) -> str:
    return "yes" if command.takes_lock_key else ""


def _options_page(parser: argparse.ArgumentParser) -> str:
    source = f"the options of `{parser.prog}`"
    return markdown.page(parser.prog, source, str(parser.description), _options(parser))


def _options(parser: argparse.ArgumentParser) -> str:
    rows = []
    for action in parser._actions:  # noqa: SLF001 - argparse tells its options in no other way
        if action.option_strings and not isinstance(action, argparse._HelpAction):  # noqa: SLF001
            words = codes(f"{option} {_value(action)}".strip() for option in action.option_strings)
            rows.append((words, text(f"{(action.help or '') % {'default': action.default}}.")))
    return table(("option", "meaning"), rows)


def _value(action: argparse.Action) -> str:
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return str(action.metavar or action.dest.upper())
