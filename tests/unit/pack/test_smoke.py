"""The runner's refusals; what it runs is tested in tests/kernel/test_pack_smoke.py."""

from __future__ import annotations

import pytest

from lambdad.pack.errors import PackError
from lambdad.pack.smoke import ChrootRunner


def test_a_directory_without_a_shell_is_no_base(tmp_path):
    with pytest.raises(PackError, match="is not a base"):
        ChrootRunner().run(tmp_path, (), "true", {})


def test_without_strace_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackError, match="install the Debian package strace"):
        ChrootRunner().trace(tmp_path, (), "true", {})
