"""npm's lock, read."""

from __future__ import annotations

import os

import pytest

from lambdad.pack.cache import Cache
from lambdad.pack.errors import PackError
from lambdad.pack.lock import Pin
from lambdad.pack.node import npm_pins, resolve_npm
from lambdad.pack.target import ARM64, X86_64


def test_packages_of_an_npm_lock_with_what_they_ask_for():
    lock = {
        "packages": {
            "": {"name": "layer"},
            "node_modules/a": {"version": "1.0.0", "dependencies": {"@s/b": "^2"}, "optionalDependencies": {"c": "1"}},
            "node_modules/@s/b": {"version": "2.0.0"},
            "node_modules/a/node_modules/c": {"version": "3.0.0"},
        }
    }
    assert npm_pins(lock) == (
        Pin(source="npm", name="@s/b", version="2.0.0"),
        Pin(source="npm", name="a", version="1.0.0", depends=("@s/b", "c")),
        Pin(source="npm", name="c", version="3.0.0"),
    )


def test_without_npm_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackError, match=r"npm is not installed: install Node\.js"):
        resolve_npm(["x"], X86_64, Cache(tmp_path))


def test_an_npm_that_knows_one_processor_is_not_asked_for_another(tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 9.2.0\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    foreign = X86_64 if os.uname().machine == ARM64.wheel else ARM64
    with pytest.raises(PackError, match="npm 10 or newer"):
        resolve_npm(["x"], foreign, Cache(tmp_path / "cache"))
