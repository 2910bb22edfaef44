"""Reading logs while another process writes, renames and removes them."""

from __future__ import annotations

from pathlib import Path

from lambdad.telemetry.log_files import CURRENT, PREVIOUS, encode_record
from lambdad.telemetry.log_reader import list_files, new_records, read_between


def _write(path: Path, *numbers: int) -> None:
    with path.open("ab") as file:
        file.writelines(encode_record(number, b"m%d" % number) for number in numbers)


def _messages(folder: Path, positions: dict[tuple[int, int], int]) -> list[bytes]:
    return [record.message for record in new_records(folder, positions, 0)]


def test_an_older_file_of_a_stream_comes_before_the_newer_one(tmp_path: Path) -> None:
    _write(tmp_path / f"s{CURRENT}", 3)
    _write(tmp_path / f"s{PREVIOUS}", 1, 2)
    (tmp_path / "other.txt").write_bytes(b"9 x\n")
    assert [record.timestamp_ms for record in read_between(list_files(tmp_path), 0, None)] == [1, 2, 3]


def test_a_file_that_is_renamed_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / f"s{CURRENT}"
    _write(path, *range(20_000))
    records = read_between(list_files(tmp_path), 0, None)
    assert next(records).timestamp_ms == 0
    path.rename(tmp_path / f"s{PREVIOUS}")
    _write(path, 99_999)
    assert [record.timestamp_ms for record in records] == list(range(1, 20_000))


def test_a_file_that_is_removed_while_it_is_read_ends_there(tmp_path: Path) -> None:
    path = tmp_path / f"s{CURRENT}"
    _write(path, *range(20_000))
    records = read_between(list_files(tmp_path), 0, None)
    assert next(records).timestamp_ms == 0
    path.unlink()
    rest = [record.timestamp_ms for record in records]
    assert rest == list(range(1, len(rest) + 1)) and len(rest) < 20_000


def test_only_what_is_complete_is_read_and_the_rest_later(tmp_path: Path) -> None:
    path = tmp_path / f"s{CURRENT}"
    positions: dict[tuple[int, int], int] = {}
    path.write_bytes(b"1 one\n2 tw")
    assert _messages(tmp_path, positions) == [b"one"]
    with path.open("ab") as file:
        file.write(b"o\n")
    assert _messages(tmp_path, positions) == [b"two"]
    assert _messages(tmp_path, positions) == []


def test_rotation_loses_and_repeats_nothing_for_a_follower(tmp_path: Path) -> None:
    path = tmp_path / f"s{CURRENT}"
    positions: dict[tuple[int, int], int] = {}
    _write(path, 1)
    assert _messages(tmp_path, positions) == [b"m1"]
    _write(path, 2)
    path.rename(tmp_path / f"s{PREVIOUS}")
    _write(path, 3)
    assert _messages(tmp_path, positions) == [b"m2", b"m3"]
    (tmp_path / f"s{PREVIOUS}").unlink()
    assert _messages(tmp_path, positions) == []
    assert len(positions) == 1


def test_a_file_shorter_than_what_was_seen_is_another_one(tmp_path: Path) -> None:
    path = tmp_path / f"s{CURRENT}"
    positions: dict[tuple[int, int], int] = {}
    _write(path, 1, 2, 3)
    _messages(tmp_path, positions)
    path.write_bytes(encode_record(4, b"m4"))
    assert _messages(tmp_path, positions) == [b"m4"]


def test_a_line_without_an_end_is_given_up_and_not_kept(tmp_path: Path) -> None:
    path = tmp_path / f"s{CURRENT}"
    path.write_bytes(b"x" * 1_200_000 + b"\n" + encode_record(5, b"m5"))
    assert [record.message for record in read_between(list_files(tmp_path), 0, None)] == [b"m5"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(encode_record(1, b"secret"))
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / f"s{CURRENT}").symlink_to(secret)
    assert list_files(folder) == []


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert list_files(tmp_path / "none") == []
