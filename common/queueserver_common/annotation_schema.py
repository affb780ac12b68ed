"""Pydantic validators for parsed annotations, in two readings.

The *exact* reading accepts a value only when nothing would have to be converted, apart from what the contract allows:
an integer or a boolean where a float is expected, and 0 or 1 where a boolean is. The *converting* reading is Pydantic's
ordinary one; it serves to say what is wrong with a value that the exact reading refused. Source:
plans-and-permissions 5, rules of conversion.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any

from pydantic_core import CoreSchema, SchemaValidator, core_schema

from queueserver_common.annotations import (
    ANY,
    AnnotationError,
    BuiltinName,
    CollectionKind,
    CollectionOf,
    CustomName,
    FixedTuple,
    Literals,
    MappingOf,
    Node,
    OneOf,
    Scalar,
    ScalarKind,
    UnionOf,
)

_CONVERTING_SCALARS: dict[ScalarKind, CoreSchema] = {
    ScalarKind.ANY: core_schema.any_schema(),
    ScalarKind.NONE: core_schema.none_schema(),
    ScalarKind.BOOL: core_schema.bool_schema(),
    ScalarKind.INT: core_schema.int_schema(),
    ScalarKind.FLOAT: core_schema.float_schema(),
    ScalarKind.COMPLEX: core_schema.complex_schema(),
    ScalarKind.STR: core_schema.str_schema(strict=True),
    ScalarKind.BYTES: core_schema.bytes_schema(),
    ScalarKind.HASHABLE: core_schema.is_instance_schema(Hashable),
}
_EXACT_SCALARS: dict[ScalarKind, CoreSchema] = {
    **_CONVERTING_SCALARS,
    ScalarKind.BOOL: core_schema.union_schema(
        [core_schema.bool_schema(strict=True), core_schema.int_schema(strict=True, ge=0, le=1)]
    ),
    ScalarKind.INT: core_schema.int_schema(strict=True),
    # By class: an integer too large for a float is a valid value of a float parameter, nothing converts it.
    ScalarKind.FLOAT: core_schema.is_instance_schema((float, int)),
    ScalarKind.COMPLEX: core_schema.is_instance_schema((complex, float, int)),
    ScalarKind.BYTES: core_schema.bytes_schema(strict=True),
}


@lru_cache(maxsize=4096)
def validator(node: Node, *, exact: bool) -> SchemaValidator:
    """Return the validator of a resolved annotation; equal annotations of all plans and groups share one.

    Collections other than mappings are read as lists, because JSON knows no others. Raises `AnnotationError` for a
    declared type name that was not resolved.
    """
    return SchemaValidator(_schema(node, exact=exact))


def _schema(node: Node, *, exact: bool) -> CoreSchema:
    match node:
        case Scalar(kind):
            return (_EXACT_SCALARS if exact else _CONVERTING_SCALARS)[kind]
        case BuiltinName():
            return core_schema.str_schema(strict=True)
        case OneOf(name, values):
            return core_schema.literal_schema(list(values)) if values else _nothing_allowed(name)
        case Literals(values):
            return _exactly(values) if exact else core_schema.literal_schema(list(values))
        case CollectionOf(kind, item):
            return _collection(kind, item, exact=exact)
        case MappingOf(key, value):
            return core_schema.dict_schema(_schema(key, exact=exact), _schema(value, exact=exact))
        case FixedTuple(items):
            return core_schema.tuple_schema([_schema(item, exact=exact) for item in items])
        case UnionOf(members):
            return core_schema.union_schema([_labelled(member, exact=exact) for member in members])
        case CustomName(name):
            raise AnnotationError(f"type name {name!r} has no list of values")


def _labelled(node: Node, *, exact: bool) -> CoreSchema | tuple[CoreSchema, str]:
    schema = _schema(node, exact=exact)
    # Without a label Pydantic writes all allowed names into the place of an error.
    return (schema, node.name) if isinstance(node, OneOf) else schema


def _collection(kind: CollectionKind, item: Node, *, exact: bool) -> CoreSchema:
    item_schema = _schema(item, exact=exact)
    elements = core_schema.list_schema(item_schema, fail_fast=True)
    if exact and kind is CollectionKind.ITERABLE:
        # A mapping is an iterable of its keys.
        return core_schema.union_schema([elements, core_schema.dict_schema(item_schema)])
    if exact and kind is CollectionKind.SEQUENCE and item == ANY:
        return core_schema.union_schema([elements, core_schema.str_schema(strict=True)])
    return elements


def _exactly(values: tuple[Any, ...]) -> CoreSchema:
    """Accept these *values*, telling apart ``1``, ``1.0`` and ``True``, which are equal in Python."""

    def check(value: Any) -> Any:
        if any(type(value) is type(allowed) and value == allowed for allowed in values):
            return value
        raise ValueError("not one of the listed values")

    return core_schema.no_info_plain_validator_function(check)


def _nothing_allowed(type_name: str) -> CoreSchema:
    def refuse(value: Any) -> Any:
        raise ValueError(f"type {type_name!r} contains no name that the user group may use")

    return core_schema.no_info_plain_validator_function(refuse)
