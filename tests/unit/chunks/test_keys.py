"""The key ring: modes, races, wrappers, and the reasons it gives."""

from __future__ import annotations

import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from lambdad.chunks.keys import CommandWrapper, KeyRing, KeyUnavailable, MasterKeyWrapper, PlainWrapper, Wrapper

NAME = "arn:aws:lambda:us-east-1:000000000000:function:f/../x"


def open_ring(directory: Path, wrapper: Wrapper | None = None) -> KeyRing:
    ring = KeyRing(directory / "keys", wrapper)
    ring.open()
    return ring


def key_file(directory: Path) -> Path:
    (path,) = (directory / "keys").iterdir()
    return path


def test_a_key_is_made_once_and_lies_in_a_file_for_its_owner_only(tmp_path: Path) -> None:
    ring = open_ring(tmp_path)
    key = ring.get_or_create(NAME)
    assert len(key) == 32
    assert ring.get_or_create(NAME) == ring.get(NAME) == open_ring(tmp_path).get(NAME) == key
    assert stat.S_IMODE(key_file(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_many_who_create_a_key_at_once_get_the_same(tmp_path: Path) -> None:
    ring = open_ring(tmp_path)
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(ring.get_or_create(NAME))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 16
    assert len(set(keys)) == 1


def test_a_forgotten_key_is_gone(tmp_path: Path) -> None:
    ring = open_ring(tmp_path)
    ring.get_or_create(NAME)
    ring.forget(NAME)
    with pytest.raises(KeyUnavailable, match="there is no key"):
        ring.get(NAME)


def test_rings_and_keys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    ring = open_ring(tmp_path)
    ring.get_or_create(NAME)
    key_file(tmp_path).chmod(0o640)
    with pytest.raises(KeyUnavailable, match="chmod 600"):
        ring.get(NAME)
    (tmp_path / "keys").chmod(0o755)
    with pytest.raises(KeyUnavailable, match="chmod 700"):
        ring.open()


def test_a_cut_key_is_refused(tmp_path: Path) -> None:
    ring = open_ring(tmp_path)
    ring.get_or_create(NAME)
    os.truncate(key_file(tmp_path), 31)
    with pytest.raises(KeyUnavailable, match="31 bytes"):
        ring.get(NAME)


def test_under_a_master_key_the_disk_alone_gives_nothing(tmp_path: Path) -> None:
    master = tmp_path / "master"
    master.write_text(bytes(range(32)).hex() + "\n")
    master.chmod(0o600)
    ring = open_ring(tmp_path, MasterKeyWrapper.from_file(master))
    key = ring.get_or_create(NAME)
    assert key not in key_file(tmp_path).read_bytes()
    assert ring.get(NAME) == key
    with pytest.raises(KeyUnavailable, match="another master key"):
        open_ring(tmp_path, MasterKeyWrapper(bytes(32))).get(NAME)


def test_a_wrapped_key_cannot_be_moved_to_another_name(tmp_path: Path) -> None:
    wrapper = MasterKeyWrapper(bytes(range(32)))
    wrapped = wrapper.wrap("a", bytes(32))
    assert wrapper.unwrap("a", wrapped) == bytes(32)
    for name, data in (("b", wrapped), ("a", wrapped[:-1]), ("a", b"")):
        with pytest.raises(KeyUnavailable):
            wrapper.unwrap(name, data)


@pytest.mark.parametrize(("content", "mode"), [(b"short", 0o600), (bytes(33), 0o600), (bytes(32), 0o644)])
def test_master_keys_that_are_wrong_or_open_to_others_are_refused(content: bytes, mode: int, tmp_path: Path) -> None:
    master = tmp_path / "master"
    master.write_bytes(content)
    master.chmod(mode)
    with pytest.raises(KeyUnavailable, match="master key"):
        MasterKeyWrapper.from_file(master)


def write_service(directory: Path, body: str) -> CommandWrapper:
    script = directory / "service.py"
    script.write_text(f"import sys\nverb, name = sys.argv[1:]\ndata = sys.stdin.buffer.read()\n{body}\n")
    return CommandWrapper([sys.executable, str(script)], timeout_s=60)


def test_a_command_can_stand_for_a_key_service(tmp_path: Path) -> None:
    service = write_service(
        tmp_path,
        "mark = b'sealed for ' + name.encode() + b':'\n"
        "sys.stdout.buffer.write(mark + data[::-1] if verb == 'wrap' else data.removeprefix(mark)[::-1])",
    )
    ring = open_ring(tmp_path, service)
    key = ring.get_or_create(NAME)
    assert key_file(tmp_path).read_bytes().startswith(b"sealed for arn:")
    assert ring.get(NAME) == key


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("sys.exit('access denied')", "access denied"),
        ("", "0 bytes"),
        ("sys.stdout.buffer.write(bytes(70000))", "70000 bytes"),
    ],
)
def test_a_key_service_that_fails_says_why(body: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(KeyUnavailable, match=reason):
        write_service(tmp_path, body).wrap(NAME, bytes(32))


def test_a_key_service_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyUnavailable, match="No such file"):
        CommandWrapper([str(tmp_path / "nothing")]).wrap(NAME, bytes(32))


def test_the_plain_wrapper_changes_nothing() -> None:
    assert PlainWrapper().unwrap("a", PlainWrapper().wrap("a", b"key")) == b"key"
