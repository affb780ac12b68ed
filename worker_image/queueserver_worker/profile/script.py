"""Run a script that a client sent, in the namespace of an environment that is open (zmq-api 5.4)."""

from __future__ import annotations

import ast
import linecache

from queueserver_worker.profile import ipython_stand_in
from queueserver_worker.profile.user_namespace import Namespace

_KEPT = ("RE", "db")
"""Names that a script changes only when it is asked to."""


def run_script(text: str, name: str, namespace: Namespace, *, update_re: bool) -> None:
    """Execute the text; tracebacks show its lines as those of the file `name`. Raises whatever it raises.

    Without `update_re`, `RE` and `db` are afterwards what they were before, also when the script fails.
    """
    shell = ipython_stand_in.kernel_shell()
    if shell is not None:
        text = shell.transform_cell(text)
    before = {kept: namespace[kept] for kept in _KEPT if kept in namespace}
    # An entry without a modification time is never compared with a file.
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    try:
        tree = compile(text, name, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        assert isinstance(tree, ast.Module)
        if shell is None:
            tree = ipython_stand_in.replace_imports(tree)
        exec(compile(tree, name, "exec", dont_inherit=True), namespace)  # noqa: S102 - a script is code
    finally:
        if not update_re:
            for kept in _KEPT:
                if kept in before:
                    namespace[kept] = before[kept]
                else:
                    namespace.pop(kept, None)
