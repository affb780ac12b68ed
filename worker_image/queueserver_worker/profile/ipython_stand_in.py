"""What startup code gets for IPython's `get_ipython` in plain-Python mode (plans-and-permissions 1)."""

from __future__ import annotations

import ast
import logging
import re
from typing import Any

from queueserver_common import loggers
from queueserver_worker.profile import user_namespace
from queueserver_worker.profile.user_namespace import Namespace

_IPYTHON_SYNTAX = re.compile(r"^\s*(%|!|\?)|=\s*[%!]\s*\w|[\w)\]]\?{1,2}\s*$")


class InteractiveShellStandIn:
    """As much of IPython's shell as profiles without magics use: `user_ns` and `log`."""

    def __init__(self) -> None:
        self.log = logging.getLogger(loggers.PROFILE)

    @property
    def user_ns(self) -> Namespace:
        """The environment's namespace."""
        return user_namespace.active()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"get_ipython() has no {name!r} in plain Python, where startup code runs: only 'user_ns' and 'log'"
        )


_shell: Any = InteractiveShellStandIn()


def get_ipython() -> Any:
    """The stand-in, or the shell of the kernel; never None, unlike IPython's own function outside IPython."""
    return _shell


def use_shell(shell: Any) -> None:
    """The worker runs in an IPython kernel with this shell."""
    global _shell
    _shell = shell


def kernel_shell() -> Any | None:
    """The shell of the kernel; None in plain Python."""
    return None if isinstance(_shell, InteractiveShellStandIn) else _shell


class _ImportFromHere(ast.NodeTransformer):
    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | list[ast.stmt]:
        if node.level or (node.module or "").partition(".")[0] != "IPython":
            return node
        wanted = [alias for alias in node.names if alias.name == "get_ipython"]
        if not wanted:
            return node
        others = [alias for alias in node.names if alias.name != "get_ipython"]
        imports = [(__name__, wanted), (node.module, others)]
        return [
            ast.copy_location(ast.ImportFrom(module=module, names=names, level=0), node)
            for module, names in imports
            if names
        ]


def replace_imports(tree: ast.Module) -> ast.Module:
    """Let every `from IPython import get_ipython` of a file import the stand-in; line numbers stay as they are."""
    return ast.fix_missing_locations(_ImportFromHere().visit(tree))  # type: ignore[no-any-return]


def is_ipython_syntax(line: str) -> bool:
    """Whether a line that Python refuses is a magic, a shell command or a help request of IPython."""
    return _IPYTHON_SYNTAX.search(line) is not None
