"""The runtimes of this host, made once for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from tests.debian_python import NoPython, debian_python

from lambdad.runtimes.catalogue import Catalogue, discover
from lambdad.runtimes.search import SearchPlaces


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """What discovery finds here; the trees that tests make go away with it."""
    cache = tmp_path_factory.mktemp("runtimes")
    yield discover(cache)
    shutil.rmtree(cache, ignore_errors=True)


@pytest.fixture(scope="session")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """A Python that hardly any machine has yet, fetched from Debian; skips where it cannot be had."""
    try:
        place = debian_python("3.14")
    except NoPython as error:
        pytest.skip(str(error))
    cache = tmp_path_factory.mktemp("newest")
    yield discover(cache, SearchPlaces(path=(str(place),), homes=()))
    shutil.rmtree(cache, ignore_errors=True)
