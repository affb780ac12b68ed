"""docs/reference/exit-codes.md: exit codes of all programs."""

from __future__ import annotations

from queueserver_cli import console_monitor, kernel_console, qserver
from queueserver_manager import exit_codes as manager_codes
from queueserver_worker.runtime import exit_codes as worker_codes
from reference_pages import markdown
from reference_pages.markdown import documented, table

_QSERVER = {
    "EXIT_OK": "The manager answered and accepted the request.",
    "EXIT_BAD_COMMAND": "The command, its parameters or a setting are wrong; nothing was sent.",
    "EXIT_REFUSED": "The manager refused the request (`success` is false), or the options are wrong.",
    "EXIT_NO_COMMUNICATION": "No answer within 2 s, or one that cannot be understood.",
    "EXIT_EXCEPTION": "Anything else.",
    "EXIT_INTERRUPTED": "Ended by Ctrl-C. `qserver monitor` ends with 0 then.",
}
_LIST_PLANS = {
    0: "The file was written.",
    1: "It was not: the startup code, a plan, the file or a missing option is the reason.",
    2: "The options are wrong.",
}


def page() -> str:
    """The page."""
    return markdown.page(
        "Exit codes",
        "the constants in `queueserver_manager.exit_codes`, `queueserver_cli.qserver` and "
        "`queueserver_worker.runtime.exit_codes`",
        "## start-re-manager",
        _codes(_manager()),
        "Codes of the manager process are passed on by the supervisor, except "
        f"{manager_codes.CRASHED} and signals: then it starts the manager again.",
        "## qserver",
        _codes([(getattr(qserver, name), text) for name, text in _described_qserver().items()]),
        "## qserver-console-monitor",
        _codes([(console_monitor.EXIT_STOPPED, documented(console_monitor)["EXIT_STOPPED"]), (2, _LIST_PLANS[2])]),
        "## qserver-console and qserver-qtconsole",
        _codes(_consoles()),
        "Otherwise the code of the console.",
        "## qserver-list-plans-devices",
        _codes(list(_LIST_PLANS.items())),
        "## Worker process",
        "The manager tells the code in its log and, when the worker ended unexpectedly, in the history.",
        _codes(_worker()),
    )


def _manager() -> list[tuple[int, str]]:
    texts = documented(manager_codes)
    return sorted((getattr(manager_codes, name), text) for name, text in texts.items() if name != "FINAL")


def _consoles() -> list[tuple[int, str]]:
    texts = documented(kernel_console)
    return sorted((getattr(kernel_console, name), text) for name, text in texts.items() if name.startswith("EXIT_"))


def _worker() -> list[tuple[int, str]]:
    texts = documented(worker_codes)
    return [(code.value, texts[f"ExitCode.{code.name}"]) for code in worker_codes.ExitCode]


def _described_qserver() -> dict[str, str]:
    names = [name for name in documented(qserver) if name.startswith("EXIT_")]
    if names != list(_QSERVER):
        raise ValueError(f"scripts/reference_pages/exit_codes.py describes {list(_QSERVER)}, qserver has {names}")
    return _QSERVER


def _codes(codes: list[tuple[int, str]]) -> str:
    return table(["code", "meaning"], [(str(code), text) for code, text in codes])
