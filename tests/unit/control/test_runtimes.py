"""Which runtimes are taken."""

from __future__ import annotations

import pytest

from lambdad.control.runtimes import CREATABLE, RETIRED, check_runtime, check_snap_start
from lambdad.model.errors import ApiError
from lambdad.testing.control_plane import HostWithout
from lambdad.testing.shapes import service_model


def test_every_runtime_of_the_service_model_is_either_taken_or_retired() -> None:
    known = set(service_model().shape_for("Runtime").metadata["enum"]) - {"custom"}
    assert known == set(CREATABLE) | RETIRED
    assert not set(CREATABLE) & RETIRED


def test_the_host_has_the_last_word() -> None:
    check_runtime("python3.12", HostWithout())
    with pytest.raises(ApiError, match=r"python3\.12 is not on this host: install it"):
        check_runtime("python3.12", HostWithout("python3.12"))


def test_snapshots_are_for_runtimes_that_have_them_and_small_temporary_directories() -> None:
    check_snap_start("None", "nodejs22.x", 10240)
    check_snap_start("PublishedVersions", "python3.11", 512)
    check_snap_start("PublishedVersions", None, 512)
    with pytest.raises(ApiError, match=r"nodejs22\.x is not supported for SnapStart enabled functions"):
        check_snap_start("PublishedVersions", "nodejs22.x", 512)
    with pytest.raises(ApiError, match="ephemeral storage"):
        check_snap_start("PublishedVersions", "python3.12", 513)
