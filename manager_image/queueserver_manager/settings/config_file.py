"""Reading settings from a configuration file, or from the files of a directory (cli 2.1).

Nothing is guessed: unknown sections and keys, keys and sections given twice and values of the wrong type are refused
with the file, the line and what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

import yaml

from queueserver_manager.settings.declaration import Given, Setting
from queueserver_manager.settings.errors import SettingsError
from queueserver_manager.settings.table import SETTINGS

_KEYS: dict[str, dict[str, Setting]] = {}
for _setting in SETTINGS:
    if _setting.key:
        _KEYS.setdefault(_setting.section, {})[_setting.config_key] = _setting

_VARIABLE = re.compile(r"\$(?:(?P<name>\w+)|\{(?P<braced>\w+)\})", re.ASCII)


def read_config(path: Path, environ: Mapping[str, str]) -> dict[str, Given]:
    """Settings of the file or of all `*.yml` and `*.yaml` files of the directory, by name."""
    given: dict[str, Given] = {}
    seen: dict[str, str] = {}
    for file in _files(path):
        for section, position, body in _sections(file):
            if section in seen:
                raise SettingsError(
                    f"{position}: the section '{section}' was already given in {seen[section]}; "
                    "a section may occur only once in all files."
                )
            seen[section] = position
            given |= _values(file, section, body, environ)
    return given


def _files(path: Path) -> list[Path]:
    try:
        if path.is_dir():
            return sorted(file for file in path.iterdir() if file.suffix in {".yml", ".yaml"} and file.is_file())
        if path.exists():
            return [path]
    except OSError as error:
        raise SettingsError(f"The configuration {path} cannot be read: {error.strerror}.") from None
    raise SettingsError(f"The configuration {path} does not exist; give an existing YAML file or a directory of them.")


def _position(file: Path, node: yaml.Node | yaml.Mark) -> str:
    mark = node if isinstance(node, yaml.Mark) else node.start_mark
    return f"Configuration file {file}, line {mark.line + 1}"


def _compose(file: Path) -> yaml.Node | None:
    try:
        return yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise SettingsError(f"The configuration file {file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise SettingsError(f"The configuration file {file} is not UTF-8 text.") from None
    except yaml.MarkedYAMLError as error:
        place = _position(file, error.problem_mark) if error.problem_mark else f"Configuration file {file}"
        raise SettingsError(f"{place}: this is not YAML: {error.problem}.") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"Configuration file {file}: this is not YAML: {' '.join(str(error).split())}.") from None


def _is_empty(node: yaml.Node | None) -> bool:
    return node is None or (isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null")


def _pairs(file: Path, node: yaml.MappingNode, what: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        key = str(key_node.value)
        if key in seen:
            raise SettingsError(f"{_position(file, key_node)}: the {what} '{key}' is given twice.")
        seen.add(key)
        yield key, key_node, value_node


def _sections(file: Path) -> Iterator[tuple[str, str, yaml.MappingNode]]:
    """Name, position and content of the sections of a file; empty ones are left out."""
    root = _compose(file)
    if root is None or _is_empty(root):
        return
    names = ", ".join(f"'{name}'" for name in _KEYS)
    if not isinstance(root, yaml.MappingNode):
        raise SettingsError(f"{_position(file, root)}: the file must be a mapping of the sections {names}.")
    for section, key_node, body in _pairs(file, root, "section"):
        position = _position(file, key_node)
        if section not in _KEYS:
            raise SettingsError(f"{position}: unknown section '{section}'{_nearest(section, list(_KEYS))}")
        if _is_empty(body):
            continue
        if not isinstance(body, yaml.MappingNode):
            raise SettingsError(f"{position}: the section '{section}' must be a mapping of keys to values.")
        yield section, position, body


def _nearest(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; known are {', '.join(known)}."


def _values(file: Path, section: str, body: yaml.MappingNode, environ: Mapping[str, str]) -> dict[str, Given]:
    known = _KEYS[section]
    given: dict[str, Given] = {}
    for key, key_node, value_node in _pairs(file, body, "key"):
        position = _position(file, key_node)
        if key not in known:
            elsewhere = next((name for name, keys in _KEYS.items() if key in keys), None)
            hint = f"; it belongs to the section '{elsewhere}'." if elsewhere else _nearest(key, list(known))
            raise SettingsError(f"{position}: unknown key '{key}' in the section '{section}'{hint}")
        if _is_empty(value_node):
            raise SettingsError(f"{position}: '{section}/{key}' has no value; leave the key out to get the default.")
        try:
            value = known[key].kind.from_yaml(_expand(_construct(value_node), environ))
        except ValueError as error:
            raise SettingsError(f"{position}: '{section}/{key}' {error}.") from None
        given[known[key].name] = Given(value, f"{position}, '{section}/{key}'")
    return given


def _construct(node: yaml.Node) -> object:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    except yaml.YAMLError as error:
        raise ValueError(f"cannot be read: {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()


def _expand(value: object, environ: Mapping[str, str]) -> object:
    """Put in environment variables; names that are not set stay as they are, as a secret may hold a `$`."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: environ.get(found["name"] or found["braced"], found[0]), value)
    if isinstance(value, list):
        return [_expand(element, environ) for element in value]
    return value
