"""What a Ruby function sees at /var/runtime: one file, named by its content, made once."""

from __future__ import annotations

from pathlib import Path

from lambdad.runtimes.ruby_tree import build_ruby_tree, ruby_tree_name


def test_the_client_is_put_into_a_tree_that_everybody_can_read(tmp_path: Path) -> None:
    target = tmp_path / "runtimes" / ruby_tree_name()
    build_ruby_tree(target)
    client = target / "bootstrap.rb"
    assert client.stat().st_mode & 0o777 == 0o644
    assert "module LambdadRuntime" in client.read_text()


def test_a_tree_that_is_there_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / ruby_tree_name()
    target.mkdir()
    build_ruby_tree(target)
    assert list(target.iterdir()) == []
