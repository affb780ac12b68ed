"""pip in an image build is told what pip on the machine is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from kind.pip_settings import CERTIFICATES_IN_BUILD, read_settings, write_secrets


def configuration(folder: Path, text: str) -> list[Path]:
    file = folder / "pip-of-machine.conf"
    file.write_text(text)
    return [folder / "missing.conf", file]


def test_variables_go_before_files_and_the_section_install_before_global(tmp_path: Path):
    files = configuration(
        tmp_path, "[global]\nindex-url = one\nproxy = p\ntimeout = 5\n[install]\nproxy = q\nrequire-hashes = yes\n"
    )
    settings = read_settings({"PIP_INDEX_URL": "two"}, files)
    assert settings == {"index-url": "two", "proxy": "q", "timeout": "5"}


def test_a_folder_of_the_machine_is_no_place_for_a_build(tmp_path: Path):
    mirror = "https" + "://mirror.example/wheels"
    assert read_settings({"PIP_FIND_LINKS": f"/opt/wheels {mirror}"}, []) == {"find-links": mirror}
    assert read_settings({"PIP_FIND_LINKS": "/opt/wheels"}, []) == {}


def test_the_certificates_of_pip_go_before_those_of_other_programs():
    assert read_settings({"SSL_CERT_FILE": "a", "PIP_CERT": "b"}, []) == {"cert": "b"}
    assert read_settings({"SSL_CERT_FILE": "a"}, []) == {"cert": "a"}


def test_certificates_are_handed_over_beside_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    certificates = tmp_path / "ca.pem"
    certificates.touch()
    monkeypatch.setenv("PIP_CERT", str(certificates))
    options = write_secrets(tmp_path)
    assert options == [
        "--secret",
        f"id=pip_conf,src={tmp_path}/pip.conf",
        "--secret",
        f"id=ca_bundle,src={certificates}",
    ]
    assert f"cert = {CERTIFICATES_IN_BUILD}\n" in (tmp_path / "pip.conf").read_text()


def test_certificates_that_are_not_there_are_not_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "missing.pem"))
    assert write_secrets(tmp_path) == ["--secret", f"id=pip_conf,src={tmp_path}/pip.conf"]
    assert "cert" not in (tmp_path / "pip.conf").read_text()
