"""What the routes take from the manager's method table: the parameters of a method and what it is for.

The one module that imports from the manager: declarations, and nothing that does input or output.
"""

from __future__ import annotations

from dataclasses import dataclass

from queueserver_manager.core.methods import METHODS

CALLER = ("user", "user_group")
"""Parameters that this server sets and that a client may not send."""


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """One method of the manager as far as a route needs it."""

    name: str
    summary: str
    parameters: tuple[tuple[str, str, bool], ...]
    """Name, type as the documentation names it, and whether it is required; without `user` and `user_group`."""
    known: bool
    takes_user: bool
    takes_group: bool

    @property
    def names(self) -> frozenset[str]:
        """Keys of a body."""
        return frozenset(name for name, _, _ in self.parameters)


def facts(method: str) -> MethodFacts:
    """The method's declaration. One that the table does not know is passed on with whatever its body holds."""
    if method in ("ping", "status"):
        return MethodFacts(method, "The status of the manager.", (), True, False, False)
    declared = METHODS.get(method)
    if declared is None:
        user = method in _WITH_USER
        return MethodFacts(method, f"The method `{method}` of the manager.", (), False, user, method in _WITH_GROUP)
    # An optional `user` does not say who asks: it chooses entries of the history.
    caller = {p.name for p in declared.parameters if p.name in CALLER and (p.required or p.missing)}
    shown = tuple((p.name, p.kind, bool(p.missing)) for p in declared.parameters if p.name not in caller)
    return MethodFacts(method, declared.summary, shown, True, "user" in caller, "user_group" in caller)


_WITH_USER = ("lock", "function_execute")
_WITH_GROUP = ("function_execute",)
