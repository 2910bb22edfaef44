"""`lambdad layer publish`, `resolve`, `ls` with services that are made of dictionaries."""

from __future__ import annotations

import pytest
from tests.unit.pack.test_publish import Region
from typer.testing import CliRunner

from lambdad.cli import publishing
from lambdad.cli.layer import app
from lambdad.pack.archive import write_zip
from lambdad.pack.build import manifest_path
from lambdad.pack.manifest import Manifest, PackageEntry, content_digest, dump_manifest, scan_tree


@pytest.fixture
def regions(monkeypatch):
    made: dict[str, Region] = {}
    monkeypatch.setattr(publishing, "_service", lambda place, endpoint, bucket: made.setdefault(place, Region(place)))
    monkeypatch.setattr(publishing.time, "sleep", lambda seconds: None)
    return made


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "x").write_text("x")
    files = scan_tree(tree)
    manifest = Manifest(
        name="php", arch="x86_64", base="d", base_name="debian12", glibc="2.36", content_digest=content_digest(files),
        files=files, packages=(PackageEntry(name="apt:php8.2-cli", version="8.2.1", size=1, wanted_by=("x",)),)
    )  # fmt: skip
    write_zip(tree, files, tmp_path / "php.zip")
    manifest_path(tmp_path / "php.zip").write_text(dump_manifest(manifest))
    return tmp_path


def run(*arguments: str, status: int = 0) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, list(arguments))
    assert result.exit_code == status, result.output
    return result.output


def test_a_release_is_published_and_resolved_in_each_region(work, regions):
    regions["eu-west-1"] = Region("eu-west-1", first=19)
    run("publish", "php.zip", "--region", "us-east-1", "--region", "eu-west-1", "--public")
    assert run("resolve", "php@1", "--region", "eu-west-1").strip() == "arn:aws:lambda:eu-west-1:1:layer:x:19"
    assert run("resolve", "php", "--region", "us-east-1").strip().endswith(":1")
    listing = run("ls")
    assert "php@1" in listing and "php8.2-cli 8.2.1" in listing and "19" in listing


def test_a_failed_region_gives_status_3_and_is_finished_by_running_again(work, regions):
    regions["b"] = Region("b", ("permit", 1, "denied"))
    output = run("publish", "php.zip", "--region", "a", "--region", "b", "--public", status=3)
    assert "AccessDenied" in output
    assert "is not published in b; it is in: a" in run("resolve", "php", "--region", "b", status=1).replace("\n", " ")
    regions["b"].fail = None
    run("publish", "php.zip", "--public")
    assert run("resolve", "php", "--region", "b").strip().endswith(":1")
    assert [region.calls["publish"] for region in regions.values()] == [1, 1]


def test_only_some_of_the_known_places(work, regions):
    run("publish", "php.zip", "--region", "a", "--region", "b")
    calls = dict(regions["a"].calls)
    run("publish", "php.zip", "--only", "b")
    assert regions["a"].calls == calls
    assert "not among the known places" in run("publish", "php.zip", "--only", "c", status=1)


def test_what_is_missing_is_said(work, regions):
    assert "name one with --region" in run("publish", "php.zip", status=1)
    assert "are needed" in run("publish", "none.zip", "--region", "a", status=1)
    assert "known layers: none" in run("resolve", "php", "--region", "a", status=1)
