"""Which extensions are found in layers and images, and what they see of the environment."""

from __future__ import annotations

from pathlib import Path

from lambdad.runtimes.extensions import extension_environment, find_image_extensions, find_layer_extensions


def layer(root: Path, *names: str) -> str:
    directory = root / "extensions"
    directory.mkdir(parents=True)
    for name in names:
        (directory / name).write_text("#!/bin/sh\n")
    return str(root)


def test_the_layers_extensions_are_those_of_all_of_them(tmp_path: Path) -> None:
    first, second = layer(tmp_path / "1", "a", "b"), layer(tmp_path / "2", "b", "c")
    (tmp_path / "1" / "extensions" / "lib").mkdir()
    (tmp_path / "3").mkdir()
    assert find_layer_extensions([first, second, str(tmp_path / "3"), str(tmp_path / "gone")]) == ("a", "b", "c")
    assert find_layer_extensions([]) == ()


def test_no_link_leads_out_of_a_layer_or_an_image(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    layer(outside, "secret")
    for number, target in enumerate((outside / "extensions", outside)):
        root = tmp_path / f"link{number}"
        root.mkdir()
        (root / "extensions").symlink_to(target)
        (root / "opt").symlink_to(outside)
        assert find_layer_extensions([layer(tmp_path / f"below{number}", "hidden"), str(root)]) == ()
        assert find_image_extensions(str(root)) == ()


def test_an_images_extensions_are_below_its_opt(tmp_path: Path) -> None:
    layer(tmp_path / "opt", "agent", "new\nline")
    assert find_image_extensions(str(tmp_path)) == ("agent",)
    assert find_image_extensions(str(tmp_path / "nothing")) == ()


def test_what_is_the_runtimes_alone_is_hidden() -> None:
    seen = extension_environment(
        {"_HANDLER": "a", "AWS_EXECUTION_ENV": "b", "LAMBDA_TASK_ROOT": "c", "AWS_LAMBDA_RUNTIME_API": "d", "MINE": "e"}
    )
    assert seen == {"AWS_LAMBDA_RUNTIME_API": "d", "MINE": "e"}
