"""What the suites of this directory share: a base from Debian, which takes half a minute to make, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.kernel.pack_base import unless_the_host_cannot, why_not

from lambdad.pack.base import Base, build_base
from lambdad.pack.cache import Cache, remove_tree
from lambdad.pack.target import X86_64


@pytest.fixture(scope="session")
def pack_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cache]:
    directory = tmp_path_factory.mktemp("pack")
    for parent in (directory, *directory.parents[:2]):
        parent.chmod(parent.stat().st_mode | 0o755)
    yield Cache(directory)
    remove_tree(directory)


@pytest.fixture(scope="session")
def debian_base(pack_cache: Cache) -> Base:
    reason = why_not()
    if reason:
        pytest.skip(f"no base can be built here: {reason}")
    with unless_the_host_cannot():
        return build_base(pack_cache.bases / "debian12-x86_64", "debian12", X86_64)
