"""The runtimes of this host, made once for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from lambdad.runtimes.catalogue import Catalogue, discover


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """What discovery finds here; the trees that tests make go away with it."""
    cache = tmp_path_factory.mktemp("runtimes")
    yield discover(cache)
    shutil.rmtree(cache, ignore_errors=True)
