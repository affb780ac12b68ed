"""Reading settings from the command line of `start-re-manager` (cli 2)."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from typing import Any

from queueserver_manager.settings.declaration import Given, Group, Setting
from queueserver_manager.settings.errors import Notice
from queueserver_manager.settings.table import CONFIG, SETTINGS
from queueserver_manager.settings.values import Kind

_DESCRIPTION = """\
Starts the manager of a queue server: it keeps a queue of Bluesky plans, answers clients, and runs the
plans in a worker process that it starts for each environment. A crashed manager is started again at
once; a running plan goes on meanwhile.
"""

_EPILOG = """\
examples:
  start-re-manager
      the simulated profile, with a Redis server of its own when none answers on localhost
  start-re-manager --startup-dir ~/beamline/startup --redis-addr redis.beamline:6379
      a beamline's startup code
  start-re-manager --config /etc/queueserver --zmq-publish-console ON
      settings from the files of a directory, one of them overridden
  start-re-manager --redis-name-prefix branch_b --zmq-control-addr 'tcp://*:60616'
      a second queue on the same machine

An option overrides the configuration file, which overrides the environment. Secrets are never options:
give the private key as QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER and the emergency lock key as
QSERVER_EMERGENCY_LOCK_KEY_FOR_SERVER, or both in the configuration file.

exit codes:
  0  stopped by a client or by Ctrl-C       1  wrong settings, or ended by SIGTERM
  2  wrong command line                    10  another manager holds the same data
 11  a newer manager took over             12  crashed too often
"""

_LOG_EXTENT = {
    "VERBOSE": "details as well",
    "QUIET": "only warnings and errors",
    "SILENT": "nothing",
}


def _reader(kind: Kind) -> Callable[[str], object]:
    """The `type` of an argument: a wrong value becomes an error of the command line."""

    def read(text: str) -> object:
        try:
            return kind.from_text(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _help(setting: Setting) -> str:
    parts = []
    default = setting.default_text or ("" if setting.default is None else setting.default)
    if setting.kind.metavar == "{ON,OFF}" and not setting.switch:
        default = "ON" if setting.default else "OFF"
    if default != "" and not setting.switch:
        parts.append(f"default: {default}")
    if setting.key:
        parts.append(f"config: {setting.key}")
    if setting.variable:
        parts.append(f"environment: {setting.variable}")
    # argparse expands % in help texts.
    return f"{setting.help} [{'; '.join(parts)}]".replace("%", "%%")


def _add(setting: Setting, to: argparse._ActionsContainer) -> None:
    if setting.flags:
        flags = to.add_mutually_exclusive_group()
        for option, value in setting.flags:
            flags.add_argument(
                option, dest=setting.name, action="store_const", const=value, help=f"Log {_LOG_EXTENT[value]}"
            )
        return
    if setting.switch:
        to.add_argument(setting.option, dest=setting.name, action="store_true", help=_help(setting))
        return
    common: dict[str, Any] = {"metavar": setting.kind.metavar}
    if setting.many:
        common["nargs"] = "+"
    else:
        common["type"] = _reader(setting.kind)
    to.add_argument(setting.option, dest=setting.name, help=_help(setting), **common)
    for option in setting.deprecated_options:
        to.add_argument(option, dest=option, help=f"deprecated spelling of {setting.option}", **common)


def build_parser() -> argparse.ArgumentParser:
    """The parser of `start-re-manager`; options that were not given leave no attribute behind."""
    parser = argparse.ArgumentParser(
        prog="start-re-manager",
        usage="%(prog)s [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    _add(CONFIG, parser)
    for name in Group:
        group = parser.add_argument_group(name)
        exclusive = group.add_mutually_exclusive_group() if name is Group.STARTUP else group
        for setting in SETTINGS:
            if setting.group is name and (setting.option or setting.flags):
                _add(setting, exclusive if setting.exclusive else group)
    return parser


def read_command_line(arguments: Sequence[str]) -> tuple[dict[str, Given], list[Notice]]:
    """Settings that the command line gives, by name; argparse ends the process when it cannot be read (exit code 2)."""
    parser = build_parser()
    found = vars(parser.parse_args(arguments))
    given: dict[str, Given] = {}
    notices: list[Notice] = []
    for setting in (CONFIG, *SETTINGS):
        for option in setting.deprecated_options:
            if option in found:
                given[setting.name] = Given(found[option], option)
                text = f"{option} is a deprecated spelling: give {setting.option} instead."
                notices.append(Notice(logging.WARNING, text))
        if setting.name not in found:
            continue
        value = found[setting.name]
        if setting.many:
            try:
                value = setting.kind.from_yaml(value)
            except ValueError as error:
                parser.error(f"argument {setting.option}: {error}")
        given[setting.name] = Given(
            value, setting.option or next(flag for flag, word in setting.flags if word == value)
        )
    return given, notices
