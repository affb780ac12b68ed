"""pip's settings on this machine, for the moment of an image build: where packages come from, and whom to trust.

They go into builds as two secrets (see the Dockerfiles), so that no image and no file of the project holds them.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Mapping
from pathlib import Path

SETTINGS = ("index-url", "extra-index-url", "no-index", "find-links", "trusted-host", "proxy", "timeout", "retries")
CERTIFICATE_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
CERTIFICATES_IN_BUILD = "/run/secrets/ca_bundle"


def write_secrets(folder: Path) -> list[str]:
    """Write the secrets into a folder; returns the options that hand them to a build."""
    settings = read_settings(os.environ, configuration_files())
    certificates = settings.pop("cert", "")
    if certificates and Path(certificates).is_file():
        settings["cert"] = CERTIFICATES_IN_BUILD
    else:
        certificates = ""
    target = folder / "pip.conf"
    target.write_text("\n".join(["[global]", *(f"{name} = {value}" for name, value in settings.items()), ""]))
    target.chmod(0o600)
    secrets = {"pip_conf": str(target)} | ({"ca_bundle": certificates} if certificates else {})
    return [option for name, path in secrets.items() for option in ("--secret", f"id={name},src={path}")]


def configuration_files() -> list[Path]:
    """Name the files that pip reads here, the most important one last."""
    home = Path.home()
    named = os.environ.get("PIP_CONFIG_FILE")
    own = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    files = [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", own, Path(sys.prefix) / "pip.conf"]
    return files + ([Path(named)] if named else [])


def read_settings(environment: Mapping[str, str], files: list[Path]) -> dict[str, str]:
    """Gather what decides where packages come from, as pip would: variables before files.

    Folders of this machine are left out: a build does not see them.
    """
    parser = configparser.RawConfigParser()
    parser.read(files)
    found: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            found |= {name: value for name, value in parser.items(section) if name in (*SETTINGS, "cert")}
    for name in SETTINGS:
        value = environment.get(f"PIP_{name.upper().replace('-', '_')}")
        if value:
            found[name] = value
    for variable in reversed(CERTIFICATE_VARIABLES):
        if environment.get(variable):
            found["cert"] = environment[variable]
    places = [place for place in found.pop("find-links", "").split() if "://" in place]
    return found | ({"find-links": " ".join(places)} if places else {})
