"""`qserver`: sends one request to the manager and shows the reply (cli.md 1)."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queueserver_cli import client, completion, grammar, legacy, output
from queueserver_cli.arguments import CommandError, FileContent

if TYPE_CHECKING:
    from queueserver_cli.screen import Screen

EXIT_OK = 0
EXIT_BAD_COMMAND = 1
EXIT_REFUSED = 2
EXIT_NO_COMMUNICATION = 3
EXIT_EXCEPTION = 4
EXIT_INTERRUPTED = 130

MONITOR_PERIOD_S = 1.0

_LOGGER = "bluesky_queueserver.manager.qserver_cli"
"""Scripts recognize error lines by this name."""

_EXAMPLES = """\
examples:
  qserver status
  qserver environment open
  qserver queue add plan '{"name": "count", "args": [["det1", "det2"]], "kwargs": {"num": 10, "delay": 1}}'
  qserver queue add plan front '{"name": "scan", "args": [["det1"], "motor", -1, 1, 10]}'
  qserver queue add instruction queue-stop
  qserver queue start
  qserver re pause
  qserver re resume
  qserver history get
  qserver function execute '{"name": "function_sleep", "args": [20]}' background
  qserver lock environment "Changing the sample" -k 90g94
  qserver queue start -k 90g94

commands:
{commands}

A plan or function is one word: a mapping with "name" and, where needed, "args", "kwargs" and "meta", written as JSON
or as a Python literal. An INDEX counts from 0 at the front; negative ones count from the back. A plan that is added
at -1 becomes the last one.

environment variables:
  QSERVER_ZMQ_CONTROL_ADDRESS  address of the manager
  QSERVER_ZMQ_ENCODING         json or msgpack, as the manager is configured
  QSERVER_ZMQ_PUBLIC_KEY       public key of the manager (40 characters) if its control socket is encrypted

exit codes:
  0 success, 1 bad command or parameters, 2 refused by the manager, 3 no answer, 4 other failure
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with the given words (default: those of the command line) and return its exit code."""
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        print("\nThe program was manually stopped.")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter complains at its end
        return EXIT_EXCEPTION
    except Exception as error:
        print(f"ERROR:{_LOGGER}:Exception occurred: {type(error).__name__}: {error}.", file=sys.stderr)
        return EXIT_EXCEPTION


def _run(argv: Sequence[str]) -> int:
    parser = _parser()
    options = parser.parse_intermixed_args(argv)
    old = options.old_command is not None
    if old == bool(options.command):
        parser.error("a command is needed: its words, or option -c with a command of version 0.0.1")
    if options.old_parameters and not old:
        parser.error("option -p goes with option -c only")
    address = options.zmq_control_addr or options.address or (legacy.DEFAULT_ADDRESS if old else None)
    address = client.control_address(address)
    screen = None if old else _screen()
    if screen is None and not old:
        print(f"Arguments: {options.command}", flush=True)
    try:
        if options.address and not old:
            print(f"WARNING:{_LOGGER}:Option --address is deprecated, use --zmq-control-addr instead.", file=sys.stderr)
        words = legacy.todays_words(options.old_command, options.old_parameters) if old else options.command
        request = grammar.parse(words, lock_key=options.lock_key)
        params = {name: _file_content(value) for name, value in request.params.items()}
        with client.ManagerClient(
            address,
            encoding=client.encoding_name(options.zmq_encoding),
            public_key=client.server_public_key(),
        ) as manager:
            if request.repeated:
                return _monitor(manager, screen)
            reply = manager.request(request.method, params)
    except (CommandError, client.SettingsError) as error:
        _report_bad_command(str(error), screen)
        return EXIT_BAD_COMMAND
    except client.CommunicationError as error:
        _report_no_answer(error, address, screen)
        return EXIT_NO_COMMUNICATION
    if screen is None:
        print((output.line if old else output.message)(reply, datetime.now()))
    else:
        screen.show_reply(request.method, reply, datetime.now())
    sys.stdout.flush()
    return EXIT_REFUSED if reply.get("success") is False else EXIT_OK


def _monitor(manager: client.ManagerClient, screen: Screen | None) -> int:
    """Show a ping every second until Ctrl-C."""
    if screen is not None:
        screen.monitor(lambda: manager.request("ping"), MONITOR_PERIOD_S)
        return EXIT_OK
    print("Running QServer monitor. Press Ctrl-C to exit ...", flush=True)
    try:
        while True:
            try:
                text = output.message(manager.request("ping"), datetime.now())
            except client.CommunicationError as error:
                text = output.error(str(error), datetime.now())
            print(text, flush=True)
            time.sleep(MONITOR_PERIOD_S)
    except KeyboardInterrupt:
        print("\nThe program was manually stopped.")
        return EXIT_OK


def _screen() -> Screen | None:
    """What draws on a terminal; None where stdout is not one."""
    if not sys.stdout.isatty():
        return None
    from queueserver_cli.screen import Screen

    return Screen()


def _file_content(value: Any) -> Any:
    """The content of the file that a parameter names; any other value unchanged."""
    if not isinstance(value, FileContent):
        return value
    try:
        text = Path(value.path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"failed to read the file {value.path!r}: {error}") from None
    if value.format == "text":
        return text
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CommandError(f"the file {value.path!r} is not valid YAML: {' '.join(str(error).split())}") from None


def _report_bad_command(text: str, screen: Screen | None) -> None:
    sentence = f"Invalid command or parameters: {text}"
    if screen is None:
        print(f"ERROR:{_LOGGER}:{sentence}.", file=sys.stderr)
    else:
        screen.show_error(sentence)


def _report_no_answer(error: client.CommunicationError, address: str, screen: Screen | None) -> None:
    if screen is None:
        print(output.error(str(error), datetime.now()), flush=True)
    else:
        screen.show_error(str(error))
    if isinstance(error, client.NoReply):
        print(
            f"No manager answered at {address} within {client.RECEIVE_TIMEOUT_S:g} s. Check that start-re-manager is "
            "running there, that the address is right (option -a), and that the encoding and QSERVER_ZMQ_PUBLIC_KEY "
            "are those of the manager.",
            file=sys.stderr,
        )


class _PrintCompletion(argparse.Action):
    """Prints the script and ends the program, as --help does."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        print(completion.script(str(values)), end="")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    commands = "\n".join(f"  qserver {command.usage}\n      {command.summary}" for command in grammar.COMMANDS)
    parser = argparse.ArgumentParser(
        prog="qserver",
        description="Send a request to a Bluesky queue server and show its reply.",
        epilog=_EXAMPLES.replace("{commands}", commands),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="*", help="the words of a command, see below")
    parser.add_argument(
        "-c",
        "--command",
        dest="old_command",
        metavar="COMMAND",
        help=f"a command of version 0.0.1 instead, for example queue_plan_add; sent to {legacy.DEFAULT_ADDRESS} unless "
        "-a is given (the manager listens there with --legacy-addr)",
    )
    parser.add_argument(
        "-p", "--parameters", dest="old_parameters", metavar="PARAMETER", nargs="+", default=[], help="its parameters"
    )
    parser.add_argument(
        "-a",
        "--zmq-control-addr",
        metavar="ADDR",
        help="address of the manager's control socket (default: QSERVER_ZMQ_CONTROL_ADDRESS, else "
        f"{client.DEFAULT_CONTROL_ADDRESS})",
    )
    parser.add_argument("--address", metavar="ADDR", help="deprecated spelling of --zmq-control-addr")
    parser.add_argument(
        "--zmq-encoding",
        metavar="NAME",
        help="json or msgpack, as the manager is configured (default: QSERVER_ZMQ_ENCODING, else json)",
    )
    parser.add_argument(
        "--completion",
        choices=completion.SHELLS,
        action=_PrintCompletion,
        help="print a script that completes commands in a shell, to be loaded by source <(qserver --completion bash)",
    )
    parser.add_argument("-k", "--lock-key", metavar="KEY", help="key of the lock, sent with the commands that take it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
