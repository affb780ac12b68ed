"""Checks that every method makes in the same order: unsupported parameters, lock key, presence and type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queueserver_manager.core.refusal import Code, Refusal

Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a method.

    `missing` and `wrong` are the contract's texts; `wrong` may name {value}, {type} and {repr}. A parameter without
    `types` takes any value, and one without `missing` is optional with `default` (unless `required`).
    """

    name: str
    kind: str
    """Type as the documentation names it."""
    default: object = None
    types: tuple[type, ...] = ()
    missing: str = ""
    wrong: str = ""
    required: bool = False
    """For the documentation: the handler insists on it, after checks of its own."""

    def check(self, params: Params) -> None:
        """Raise `Refusal` when the parameter is missing or of a wrong type."""
        if self.name not in params:
            if self.missing:
                raise Refusal(self.missing.format(params=dict(params)), code=Code.MISSING_PARAMETER)
            return
        value = params[self.name]
        if self.types and not _is_one_of(value, self.types) and not (value is None and not self.missing):
            text = self.wrong or f"Parameter '{self.name}' must be {self.kind}: type({self.name}) = {{type}}"
            raise Refusal(text.format(value=value, repr=repr(value), type=type(value)))


def _is_one_of(value: object, types: tuple[type, ...]) -> bool:
    """isinstance, but a bool is not an integer."""
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))


LOCK_KEY = Parameter("lock_key", "string or null")
IDEMPOTENCY_KEY = Parameter("idempotency_key", "string", types=(str,))


def check_supported(params: object, supported: tuple[Parameter, ...]) -> Params:
    """The parameters as a mapping; raises `Refusal` for other types and for names that the method does not know."""
    if not isinstance(params, Mapping):
        if params is None:
            raise Refusal("'NoneType' object is not iterable")
        raise Refusal(f"API request parameters must be a mapping (dictionary), not {type(params)}")
    names = [p.name for p in supported]
    unknown = [name for name in params if name not in names]
    if unknown:
        shown = repr(unknown[0]) if len(unknown) == 1 else repr(unknown)
        raise Refusal(
            f"API request contains unsupported parameters: {shown}. Supported parameters: {names}",
            code=Code.UNSUPPORTED_PARAMETER,
        )
    return params


def check_lock_key(params: Params) -> str | None:
    """The lock key of a request, checked for its type (zmq-api 2 rule 7)."""
    key = params.get("lock_key")
    if key is not None and not isinstance(key, str):
        raise Refusal(f"Lock key must be a non-empty string or None: lock_key = {key!r}")
    return key
