"""The grammar of parameter annotations, parsed into a tree and never evaluated.

An annotation is a Python type expression over a fixed set of names from ``builtins``, ``typing`` and
``collections.abc``, over the built-in type names (``__READABLE__`` …) and over type names that the annotation declares.
Plan descriptions come from workers and files, so nothing in them may be executed. Source: plans-and-permissions 4.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import chain

from queueserver_common.descriptions import BUILTIN_TYPE_NAMES, CALLABLE, AnnotationDescription

MAX_ANNOTATION_LENGTH = 2000
"""Longest annotation that is accepted, in characters."""

MAX_ANNOTATION_DEPTH = 20
"""Deepest nesting of types that is accepted."""

_DECLARATIONS = ("devices", "plans", "enums")


class AnnotationError(ValueError):
    """An annotation is not a type expression of the grammar, or it does not use what it declares."""


class ScalarKind(Enum):
    """Types without parameters."""

    ANY = auto()
    NONE = auto()
    BOOL = auto()
    INT = auto()
    FLOAT = auto()
    COMPLEX = auto()
    STR = auto()
    BYTES = auto()
    HASHABLE = auto()


class CollectionKind(Enum):
    """Types with one parameter, the type of their elements."""

    LIST = auto()
    TUPLE = auto()
    SET = auto()
    SEQUENCE = auto()
    ITERABLE = auto()


@dataclass(frozen=True, slots=True)
class Scalar:
    """A type without parameters, such as ``int``."""

    kind: ScalarKind


@dataclass(frozen=True, slots=True)
class BuiltinName:
    """A built-in type name, such as ``__READABLE__``: at submission any string (plans-and-permissions 4)."""

    name: str


@dataclass(frozen=True, slots=True)
class CustomName:
    """A type name that the annotation declares, not yet replaced by its values."""

    name: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of the listed strings: a declared type name after `resolve`."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Literals:
    """``typing.Literal``. Compared by its text because ``1``, ``1.0`` and ``True`` are equal in Python."""

    values: tuple[int | str | bytes | bool | None, ...] = field(compare=False)
    text: str


@dataclass(frozen=True, slots=True)
class CollectionOf:
    """A collection with elements of one type."""

    kind: CollectionKind
    item: Node


@dataclass(frozen=True, slots=True)
class FixedTuple:
    """A tuple with a type for each of its elements."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MappingOf:
    """A mapping."""

    key: Node
    value: Node


@dataclass(frozen=True, slots=True)
class UnionOf:
    """Any of several types."""

    members: tuple[Node, ...]


Node = (
    Scalar | BuiltinName | CustomName | OneOf | Literals | CollectionOf | FixedTuple | MappingOf | UnionOf
)  # fmt: skip
"""A parsed annotation."""

ANY = Scalar(ScalarKind.ANY)

_BUILTINS = ("builtins",)
_TYPING = ("typing", "typing_extensions")
_ABC = ("typing", "typing_extensions", "collections.abc")
_CONTAINERS = ("typing", "typing_extensions", "collections")

_SCALARS: dict[str, tuple[ScalarKind, tuple[str, ...]]] = {
    "object": (ScalarKind.ANY, _BUILTINS),
    "bool": (ScalarKind.BOOL, _BUILTINS),
    "int": (ScalarKind.INT, _BUILTINS),
    "float": (ScalarKind.FLOAT, _BUILTINS),
    "complex": (ScalarKind.COMPLEX, _BUILTINS),
    "str": (ScalarKind.STR, _BUILTINS),
    "bytes": (ScalarKind.BYTES, _BUILTINS),
    "Any": (ScalarKind.ANY, _TYPING),
    "Text": (ScalarKind.STR, _TYPING),
    "NoneType": (ScalarKind.NONE, ("types",)),
    "Hashable": (ScalarKind.HASHABLE, _ABC),
}
_COLLECTIONS: dict[str, tuple[CollectionKind, tuple[str, ...]]] = {
    "list": (CollectionKind.LIST, _BUILTINS),
    "List": (CollectionKind.LIST, _TYPING),
    "set": (CollectionKind.SET, _BUILTINS),
    "frozenset": (CollectionKind.SET, _BUILTINS),
    "Set": (CollectionKind.SET, _ABC),
    "MutableSet": (CollectionKind.SET, _ABC),
    "AbstractSet": (CollectionKind.SET, _TYPING),
    "FrozenSet": (CollectionKind.SET, _TYPING),
    "Sequence": (CollectionKind.SEQUENCE, _ABC),
    "MutableSequence": (CollectionKind.LIST, _ABC),
    "deque": (CollectionKind.LIST, ("collections",)),
    "Deque": (CollectionKind.LIST, _TYPING),
    "Iterable": (CollectionKind.ITERABLE, _ABC),
    "Iterator": (CollectionKind.ITERABLE, _ABC),
    "Reversible": (CollectionKind.ITERABLE, _ABC),
    "Collection": (CollectionKind.ITERABLE, _ABC),
    "Container": (CollectionKind.ITERABLE, _ABC),
}
_MAPPINGS: dict[str, tuple[str, ...]] = {
    "dict": _BUILTINS,
    "Dict": _TYPING,
    "Mapping": _ABC,
    "MutableMapping": _ABC,
    "OrderedDict": _CONTAINERS,
    "defaultdict": ("collections",),
    "DefaultDict": _TYPING,
}
_SPECIAL: dict[str, tuple[str, ...]] = {
    "tuple": _BUILTINS,
    "Tuple": _TYPING,
    "Optional": _TYPING,
    "Union": _TYPING,
    "Literal": _TYPING,
    "Annotated": _TYPING,
    "Callable": _ABC,
}


def parse_annotation(text: str, declared: Collection[str] = ()) -> Node:
    """Parse the type expression *text*; the names in *declared* become `CustomName` and win over all others.

    A name may stand alone or behind its module (``List``, ``typing.List``). Raises `AnnotationError`.
    """
    if len(text) > MAX_ANNOTATION_LENGTH:
        raise AnnotationError(
            f"an annotation of {len(text)} characters is too long, the limit is {MAX_ANNOTATION_LENGTH}"
        )
    try:
        with warnings.catch_warnings():
            # The compiler comments on odd but valid text, such as an unknown escape in a string.
            warnings.simplefilter("ignore")
            expression = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as ex:
        raise AnnotationError("it is not a Python type expression such as 'typing.List[float]'") from ex
    return _Parser(frozenset(declared)).parse(expression, 1)


def parse_parameter_annotation(annotation: AnnotationDescription) -> Node:
    """Return the tree of a parameter's annotation with the declared type names replaced by their values.

    A type name declared more than once, say in ``devices`` and in ``enums``, stands for all its values. Raises
    `AnnotationError` with the contract's texts (plans-and-permissions 4).
    """
    text = annotation["type"]
    declared = _declared_values(annotation)
    try:
        node = parse_annotation(text, declared)
        used = names_in(node)
        for name in declared:
            if name not in used:
                raise AnnotationError(f"Type {name!r} is defined in the annotation, but not used in the parameter type")
    except AnnotationError as ex:
        shown = text if len(text) <= 200 else f"{text[:200]}…"
        raise AnnotationError(f"Failed to process annotation {shown!r}: {ex}") from ex
    return resolve(node, declared)


def names_in(node: Node) -> frozenset[str]:
    """Return the declared and built-in type names that occur in *node*."""
    match node:
        case BuiltinName(name) | CustomName(name):
            return frozenset((name,))
        case _:
            return frozenset(chain.from_iterable(map(names_in, _children(node))))


def resolve(node: Node, values: Mapping[str, Sequence[str]]) -> Node:
    """Return *node* with each `CustomName` replaced by its *values*; raises `AnnotationError` for a missing one."""
    match node:
        case CustomName(name):
            if name not in values:
                raise AnnotationError(f"type name {name!r} has no list of values")
            return OneOf(name, tuple(values[name]))
        case CollectionOf(kind, item):
            return CollectionOf(kind, resolve(item, values))
        case MappingOf(key, value):
            return MappingOf(resolve(key, values), resolve(value, values))
        case FixedTuple(items):
            return FixedTuple(tuple(resolve(item, values) for item in items))
        case UnionOf(members):
            return UnionOf(tuple(resolve(member, values) for member in members))
        case _:
            return node


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case CollectionOf(_, item):
            return (item,)
        case MappingOf(key, value):
            return (key, value)
        case FixedTuple(children) | UnionOf(children):
            return children
        case _:
            return ()


def _declared_values(annotation: AnnotationDescription) -> dict[str, list[str]]:
    declared: dict[str, list[str]] = {}
    for section in _DECLARATIONS:
        names: Mapping[str, list[str]] = annotation.get(section) or {}  # type: ignore[assignment]
        for type_name, values in names.items():
            declared.setdefault(type_name, []).extend(values)
    return {name: list(dict.fromkeys(values)) for name, values in declared.items()}


class _Parser:
    """Walks a Python syntax tree and accepts only what the grammar lists."""

    def __init__(self, declared: frozenset[str]) -> None:
        self._declared = declared

    def parse(self, expression: ast.expr, depth: int) -> Node:
        if depth > MAX_ANNOTATION_DEPTH:
            raise AnnotationError(f"types are nested more than {MAX_ANNOTATION_DEPTH} levels deep")
        match expression:
            case ast.Constant(value=None):
                return Scalar(ScalarKind.NONE)
            case ast.BinOp(op=ast.BitOr()):
                return UnionOf(tuple(self.parse(member, depth + 1) for member in _alternatives(expression)))
            case ast.Name() | ast.Attribute():
                return self._plain(expression)
            case ast.Subscript(value=generic, slice=parameters):
                return self._generic(generic, parameters, depth)
        raise AnnotationError(f"{_source(expression)} is not a type")

    def _plain(self, expression: ast.expr) -> Node:
        if isinstance(expression, ast.Name):
            if expression.id in self._declared:
                return CustomName(expression.id)
            if expression.id in BUILTIN_TYPE_NAMES:
                return BuiltinName(expression.id)
        name = self._known_name(expression)
        if name in _SCALARS:
            return Scalar(_SCALARS[name][0])
        if name in _COLLECTIONS:
            return CollectionOf(_COLLECTIONS[name][0], ANY)
        if name in _MAPPINGS:
            return MappingOf(ANY, ANY)
        if name in ("tuple", "Tuple"):
            return CollectionOf(CollectionKind.TUPLE, ANY)
        if name == "Callable":
            return BuiltinName(CALLABLE)
        raise AnnotationError(f"type {name!r} needs parameters in brackets")

    def _generic(self, generic: ast.expr, parameters: ast.expr, depth: int) -> Node:
        name = self._known_name(generic)
        arguments = parameters.elts if isinstance(parameters, ast.Tuple) else [parameters]
        if name == "Callable":
            return BuiltinName(CALLABLE)
        if name == "Literal":
            return _literals(arguments)
        if name in ("tuple", "Tuple"):
            return self._tuple(arguments, depth)
        if name == "Annotated":
            # What follows the type is a remark for other tools.
            return self.parse(arguments[0], depth + 1) if arguments else self._wrong_number(name)
        types = tuple(self.parse(argument, depth + 1) for argument in arguments)
        if name in _COLLECTIONS and len(types) == 1:
            return CollectionOf(_COLLECTIONS[name][0], types[0])
        if name in _MAPPINGS and len(types) == 2:
            return MappingOf(types[0], types[1])
        if name == "Optional" and len(types) == 1:
            return UnionOf((types[0], Scalar(ScalarKind.NONE)))
        if name == "Union" and types:
            return UnionOf(types)
        return self._wrong_number(name)

    def _tuple(self, arguments: list[ast.expr], depth: int) -> Node:
        if len(arguments) == 2 and isinstance(arguments[1], ast.Constant) and arguments[1].value is ...:
            return CollectionOf(CollectionKind.TUPLE, self.parse(arguments[0], depth + 1))
        return FixedTuple(tuple(self.parse(argument, depth + 1) for argument in arguments))

    def _known_name(self, expression: ast.expr) -> str:
        """Return the bare name of a type of the tables, after checking the module before it."""
        *modules, name = _dotted(expression)
        known = _SPECIAL.get(name) or _MAPPINGS.get(name)
        if name in _SCALARS:
            known = _SCALARS[name][1]
        elif name in _COLLECTIONS:
            known = _COLLECTIONS[name][1]
        if known is None or (modules and ".".join(modules) not in known):
            raise AnnotationError(
                f"name {'.'.join((*modules, name))!r} is not defined: use types of 'typing', 'collections.abc' and "
                "builtins, built-in names such as '__READABLE__', or names declared in 'devices', 'plans' or 'enums'"
            )
        return name

    def _wrong_number(self, name: str) -> Node:
        raise AnnotationError(f"type {name!r} does not take these parameters")


def _alternatives(expression: ast.expr) -> list[ast.expr]:
    """Return the members of ``A | B | C``, which Python nests to the left."""
    members: list[ast.expr] = []
    while isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.BitOr):
        members.append(expression.right)
        expression = expression.left
    members.append(expression)
    return members[::-1]


def _dotted(expression: ast.expr) -> list[str]:
    names: list[str] = []
    while isinstance(expression, ast.Attribute):
        names.append(expression.attr)
        expression = expression.value
    if not isinstance(expression, ast.Name):
        raise AnnotationError(f"{_source(expression)} is not the name of a type")
    names.append(expression.id)
    return names[::-1]


def _literals(arguments: list[ast.expr]) -> Node:
    values: list[int | str | bytes | bool | None] = []
    for argument in arguments:
        match argument:
            case ast.Constant(value=int() | str() | bytes() | None as value):
                values.append(value)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)) if type(value) is int:
                values.append(-value)
            case _:
                raise AnnotationError(f"{_source(argument)} is not a value for 'Literal'")
    if not values:
        raise AnnotationError("type 'Literal' needs values in brackets")
    return Literals(tuple(values), ", ".join(f"{type(value).__name__} {_digits(value)}" for value in values))


def _digits(value: object) -> str:
    # Python refuses to write huge integers in decimal.
    return hex(value) if isinstance(value, int) else repr(value)


def _source(expression: ast.expr) -> str:
    return f"{type(expression).__name__} at column {expression.col_offset + 1}"
