"""Clocks."""

from __future__ import annotations

import time

import pytest

from lambdad.model.clock import SteadyClock, SystemClock


def test_a_steady_clock_does_not_follow_a_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000.0)
    monkeypatch.setattr(time, "monotonic", lambda: 5.0)
    steady = SteadyClock()
    assert (steady.time(), steady.monotonic()) == (1_000.0, 5.0)
    monkeypatch.setattr(time, "time", lambda: 50_000.0)
    monkeypatch.setattr(time, "monotonic", lambda: 6.5)
    assert (steady.time(), SystemClock().time()) == (1_001.5, 50_000.0)
    assert steady.monotonic() == SystemClock().monotonic() == 6.5
