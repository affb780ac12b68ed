"""Binding of arguments to a described signature, with the rules and texts of Python's own calls.

Source: plans-and-permissions 2.1 (kinds of parameters) and 5 (texts, which do not vary with the version of Python).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import Parameter
from typing import Any

from queueserver_common.descriptions import ParameterDescription


class BindingError(ValueError):
    """The arguments do not fit the signature."""


class PlanSignature:
    """The parameters of a plan, sorted once by the way in which they may be given."""

    def __init__(self, parameters: Sequence[ParameterDescription]) -> None:
        kinds = [(parameter["name"], parameter["kind"]["value"]) for parameter in parameters]
        self._positional_only = [name for name, kind in kinds if kind == Parameter.POSITIONAL_ONLY]
        self._positional = self._positional_only + [
            name for name, kind in kinds if kind == Parameter.POSITIONAL_OR_KEYWORD
        ]
        self._keyword_only = [name for name, kind in kinds if kind == Parameter.KEYWORD_ONLY]
        self._var_positional = next((name for name, kind in kinds if kind == Parameter.VAR_POSITIONAL), None)
        self._var_keyword = next((name for name, kind in kinds if kind == Parameter.VAR_KEYWORD), None)
        self._by_keyword = frozenset(self._positional[len(self._positional_only) :] + self._keyword_only)
        self._with_default = frozenset(parameter["name"] for parameter in parameters if "default" in parameter)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of each given parameter by its name, in the order of the signature.

        Surplus positional arguments become a tuple and surplus keywords a dictionary under the name of the parameter
        that takes them; parameters left to their defaults are absent. Raises `BindingError`.
        """
        bound = self._bind_positional(args, kwargs)
        for name in self._keyword_only:
            if name in kwargs:
                bound[name] = kwargs[name]
            elif name not in self._with_default:
                raise BindingError(f"missing a required argument: {name!r}")
        surplus = {name: value for name, value in kwargs.items() if name not in self._by_keyword}
        if surplus:
            if self._var_keyword is None:
                raise BindingError(self._unexpected(next(iter(surplus))))
            bound[self._var_keyword] = surplus
        return bound

    def _bind_positional(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        given = len(args)
        bound: dict[str, Any] = {}
        for index, name in enumerate(self._positional):
            by_keyword = name in kwargs and name in self._by_keyword
            if index < given:
                if by_keyword:
                    raise BindingError(f"multiple values for argument {name!r}")
                bound[name] = args[index]
            elif by_keyword:
                bound[name] = kwargs[name]
            elif name in kwargs and self._var_keyword is None:
                raise BindingError(self._unexpected(name))
            elif name not in self._with_default:
                raise BindingError(f"missing a required argument: {name!r}")
        if given > len(self._positional):
            if self._var_positional is None:
                raise BindingError("too many positional arguments")
            bound[self._var_positional] = tuple(args[len(self._positional) :])
        return bound

    def _unexpected(self, name: str) -> str:
        if name in self._positional_only:
            return f"{name!r} parameter is positional only, but was passed as a keyword"
        return f"got an unexpected keyword argument {name!r}"
