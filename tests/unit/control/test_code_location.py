"""Links to code: good until they expire, for one zip, from one key."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from lambdad.control.code_location import LIFETIME_S, PATH_PREFIX, CodeLocations, load_key

SHA = "ab" * 32


def query_of(locations: CodeLocations, now: float = 1000.0) -> str:
    parts = urlsplit(locations.make("http://host:1", SHA, now))
    assert parts.path == PATH_PREFIX + SHA
    return parts.query


def test_a_link_is_good_for_ten_minutes() -> None:
    locations = CodeLocations(b"k" * 32)
    query = query_of(locations)
    assert locations.verify(SHA, query, 1000.0)
    assert locations.verify(SHA, query, 1000.0 + LIFETIME_S - 1)
    assert not locations.verify(SHA, query, 1000.0 + LIFETIME_S)


def test_a_link_is_for_one_zip_and_one_key() -> None:
    query = query_of(CodeLocations(b"k" * 32))
    assert not CodeLocations(b"k" * 32).verify("cd" * 32, query, 1000.0)
    assert not CodeLocations(b"l" * 32).verify(SHA, query, 1000.0)


def test_a_link_cannot_be_prolonged_or_made_up() -> None:
    locations = CodeLocations(b"k" * 32)
    query = query_of(locations)
    for forged in (
        query.replace("expires=1600", "expires=9999999999"),
        query.replace("expires=1600", "expires=1e9"),
        query.replace("expires=1600", "expires=²"),
        "",
        "token=&expires=",
        "token=\xff&expires=1600",
    ):
        assert not locations.verify(SHA, forged, 1000.0)


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "location.key"
    key = load_key(path)
    assert (len(key), load_key(path)) == (32, key)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
