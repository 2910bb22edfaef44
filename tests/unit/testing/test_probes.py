"""Probes say why not, and leave nothing: a skip that names no reason is a test that nobody misses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lambdad.linux.cgroup import CONTROLLERS
from lambdad.testing import probes
from lambdad.testing.probes import Answer, has_cgroup, is_root, skip_unless


def test_an_answer_with_a_reason_is_no() -> None:
    assert Answer()
    assert not Answer("needs the moon")


def test_a_skip_names_every_reason() -> None:
    mark = skip_unless(Answer(), Answer("needs the moon"), Answer("needs the sun")).mark
    assert (mark.name, mark.args, mark.kwargs) == ("skipif", (True,), {"reason": "needs the moon; needs the sun"})
    assert skip_unless(Answer(), Answer()).mark.args == (False,)


def test_root_is_asked_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert is_root() == Answer("needs root")


def test_a_statement_that_fails_is_a_reason_in_the_kernels_words() -> None:
    answer = probes._try("it cannot be done", "raise OSError('not on this host')")
    assert answer == Answer("it cannot be done: OSError: not on this host")
    assert probes._try("it cannot be done", "pass")


def test_asking_for_control_groups_leaves_none() -> None:
    for controller in CONTROLLERS:
        assert has_cgroup(controller) is has_cgroup(controller)
    assert not list(Path("/sys/fs/cgroup").glob(f"*/lambdad/probe-{os.getpid()}"))
