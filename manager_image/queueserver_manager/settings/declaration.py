"""What is declared of a setting, and what is known of a value that was given."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from queueserver_manager.settings.values import Kind


class Group(StrEnum):
    """Groups of the help, in their order."""

    NETWORK = "addresses of clients"
    STORE = "store"
    STARTUP = "startup code"
    LISTS = "plans, devices and permissions"
    WORKER = "worker process"
    OUTPUT = "output"
    CLUSTER = "Kubernetes"
    IPYTHON = "IPython kernel"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its names in every place it can be given, how it is read, and what it is for."""

    name: str
    """Name of the field of `Settings` that gets the value."""
    group: Group
    kind: Kind
    default: object
    help: str
    option: str = ""
    """Option of the command line; empty when the setting cannot be given there."""
    deprecated_options: tuple[str, ...] = ()
    key: str = ""
    """`section/key` of the configuration file; empty when it cannot be given there."""
    variable: str = ""
    """Environment variable; empty when there is none."""
    deprecated_variables: tuple[str, ...] = ()
    default_text: str = ""
    """What the help says of the default when the value itself would not tell."""
    flags: tuple[tuple[str, str], ...] = ()
    """Options without a value and the value that each stands for; they exclude each other."""
    switch: bool = False
    """The option takes no value: to give it is to say true."""
    many: bool = False
    """The option takes one or more arguments."""
    exclusive: bool = False
    """Only one of the options marked so can be given."""
    secret: bool = False
    """The value is masked wherever settings are shown."""

    @property
    def section(self) -> str:
        """Section of the configuration file."""
        return self.key.partition("/")[0]

    @property
    def config_key(self) -> str:
        """Key in that section."""
        return self.key.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody gave, and where."""

    value: object = field(repr=False)
    origin: str
    """Start of a sentence about it: an option, an environment variable, or a file, line and key."""
