"""Architectures under all their names."""

from __future__ import annotations

import pytest

from lambdad.pack.errors import PackError
from lambdad.pack.target import ARM64, ENVIRONMENT, LIBRARY_PATH, X86_64, arch_named


@pytest.mark.parametrize(
    ("name", "arch"), [("x86_64", X86_64), ("amd64", X86_64), ("arm64", ARM64), ("aarch64", ARM64)]
)
def test_an_architecture_is_known_by_all_its_names(name, arch):
    assert arch_named(name) is arch


def test_an_unknown_one_says_which_there_are():
    with pytest.raises(PackError, match="x86_64, arm64"):
        arch_named("sparc")


def test_the_systems_libraries_come_before_the_layers():
    parts = ENVIRONMENT["LD_LIBRARY_PATH"].split(":")
    assert parts[0] == "/lib64" and parts[-1] == "/opt/lib" and LIBRARY_PATH in ENVIRONMENT["LD_LIBRARY_PATH"]


def test_the_built_in_directories_and_tokens_are_debians():
    assert X86_64.system_directories[0] == "/lib/x86_64-linux-gnu"
    assert ARM64.library_token == "lib/aarch64-linux-gnu"
