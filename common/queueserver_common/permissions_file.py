"""User group permissions in a YAML file, with mistakes reported by file and line.

Source: plans-and-permissions 3. Apart from `permissions` because that module is also used where nothing reads files.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from queueserver_common.permissions import Permissions, PermissionsError


def load_permissions_file(path: Path) -> Permissions:
    """Read user group permissions from a YAML file.

    Raises `PermissionsError` whose text names the file, the line and what would be right, also when the file cannot be
    read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as ex:
        raise PermissionsError(f"User group permissions cannot be read from {str(path)!r}: {ex}") from ex
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_repeated_keys(node)
        mapping = yaml.safe_load(text)
    except yaml.MarkedYAMLError as ex:
        line = ex.problem_mark.line + 1 if ex.problem_mark else 1
        raise PermissionsError(f"{path}, line {line}: the file is not valid YAML: {ex.problem}") from ex
    except (yaml.YAMLError, ValueError, RecursionError) as ex:
        raise PermissionsError(f"{path}: the file is not valid YAML: {ex}") from ex
    if mapping is None:
        raise PermissionsError(f"{path}: the file is empty, 'user_groups' is a required property")
    try:
        return Permissions.parse(mapping)
    except PermissionsError as ex:
        raise PermissionsError(f"{path}, line {_line_of(node, ex.location)}: {ex}", ex.location) from ex


def _refuse_repeated_keys(node: yaml.Node | None) -> None:
    """Raise an error when a mapping of the file holds a key twice: YAML would silently drop the first rule."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(item)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"key {key.value!r} occurs twice in one mapping, merge the two lists"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                seen.add(key.value)
            _refuse_repeated_keys(value)


def _line_of(node: yaml.Node | None, location: tuple[str | int, ...]) -> int:
    """Return the line, counted from 1, of the innermost key or item of *location* that the file has."""
    line = 1
    for step in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == step), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line
