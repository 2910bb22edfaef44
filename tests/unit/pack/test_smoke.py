"""The runner's refusals; what it runs is tested in tests/kernel/test_pack_smoke.py."""

from __future__ import annotations

import pytest

from lambdad.pack.errors import PackError
from lambdad.pack.smoke import ChrootRunner, after_chroot


def test_a_directory_without_a_shell_is_no_base(tmp_path):
    with pytest.raises(PackError, match="is not a base"):
        ChrootRunner().run(tmp_path, (), "true", {})


def test_without_strace_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackError, match="install the Debian package strace"):
        ChrootRunner().trace(tmp_path, (), "true", {})


def test_what_was_opened_before_the_change_of_root_is_no_part_of_a_trace():
    trace = '10 openat("/etc/fonts") = 3\n10 chroot("/tmp/x") = 0\n11 openat("/etc/passwd") = 3\n'
    assert after_chroot(trace) == '11 openat("/etc/passwd") = 3\n'
    assert after_chroot("11 a\n") == "11 a\n"
