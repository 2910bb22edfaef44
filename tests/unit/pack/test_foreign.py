"""Bases without scripts: what stands in for them."""

from __future__ import annotations

import pytest

from lambdad.pack.base import describe_base, installed_packages
from lambdad.pack.cache import Cache
from lambdad.pack.errors import PackError
from lambdad.pack.foreign import as_installed, unpack_base
from lambdad.pack.target import ARM64


def test_an_unpacked_package_is_in_dpkgs_list_as_installed():
    status = as_installed("Package: libc6\nVersion: 2.36-9\nDescription: x\n y")
    assert installed_packages(status) == {"libc6": "2.36-9"}
    assert status.splitlines()[1] == "Status: install ok installed"


def test_nothing_is_left_of_a_base_that_cannot_be_made(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackError, match="apt-get is not installed"):
        unpack_base(tmp_path / "base", "debian12", ARM64, Cache(tmp_path / "cache"))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("base")]
    with pytest.raises(PackError, match="unknown base"):
        unpack_base(tmp_path / "base", "x", ARM64, Cache(tmp_path / "cache"))
    (tmp_path / "base").mkdir()
    with pytest.raises(PackError, match="already exists"):
        unpack_base(tmp_path / "base", "debian12", ARM64, Cache(tmp_path / "cache"))


def test_the_digest_of_a_base_names_packages_and_architecture():
    one = describe_base("debian12", ARM64, {"a": "1", "b": "2"})
    assert one == describe_base("debian12", ARM64, {"b": "2", "a": "1"})
    assert one != describe_base("debian12", ARM64, {"a": "2", "b": "2"})
