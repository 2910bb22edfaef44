"""The directory behind `lambdad image`."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.chunks.keys import KeyUnavailable
from lambdad.cli.errors import CliError
from lambdad.cli.image_store import ImageRecord, ImageStore

RECORD = ImageRecord(
    manifest="0" * 64,
    source="dir:x",
    platform="linux/amd64",
    format="erofs",
    size=1,
    content=1,
    files=1,
    pulled=1.5,
    layers=("sha256:x",),
    environment={"A": "b"},
)


def test_records_come_back_as_they_were_in_order_of_names(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    store.add("b", RECORD)
    store.add("a", RECORD)
    assert list(ImageStore(tmp_path).records().items()) == [("a", RECORD), ("b", RECORD)]


def test_an_image_that_is_removed_takes_its_key_along(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    store.add("a", RECORD)
    store.ring.get_or_create("a")
    store.remove("a")
    assert store.records() == {}
    with pytest.raises(KeyUnavailable):
        store.ring.get("a")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', '{"version": 1, "images": {"a": {"x": 1}}}'])
def test_a_damaged_index_is_said_to_be_damaged(tmp_path: Path, text: str) -> None:
    store = ImageStore(tmp_path)
    (tmp_path / "images.json").write_text(text)
    with pytest.raises(CliError, match="is damaged"):
        store.records()


def test_nobody_collects_while_somebody_reads(tmp_path: Path) -> None:
    one, other = ImageStore(tmp_path), ImageStore(tmp_path)
    with one.reading(), other.reading(), pytest.raises(CliError, match="in use"), other.collecting():
        pass
    with one.collecting(), pytest.raises(CliError, match="being collected"), other.reading():
        pass
