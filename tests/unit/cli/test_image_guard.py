"""What the guard of `image mount` clears, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

from lambdad.cli.image_guard import clear, guarded


def test_the_commands_directory_goes_and_the_target_stays(tmp_path: Path) -> None:
    target, state = tmp_path / "target", tmp_path / "state"
    (state / "images" / "abc").mkdir(parents=True)
    target.mkdir()
    (target / "of others").touch()
    clear(target, state)
    assert not state.exists()
    assert (target / "of others").exists()


def test_a_guard_is_gone_when_the_mount_is_over(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with guarded(tmp_path / "target", tmp_path / "state"):
        assert (tmp_path / "state").exists()
    assert not (tmp_path / "state").exists()
