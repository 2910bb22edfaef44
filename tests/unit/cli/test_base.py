"""`lambdad base` without building one."""

from __future__ import annotations

from tests.unit.pack.bases import make_base
from typer.testing import CliRunner

from lambdad.cli.base import app


def test_a_base_is_compared_with_a_directory_and_with_a_listing(tmp_path):
    one = make_base(tmp_path / "one")
    two = make_base(tmp_path / "two")
    (one.rootfs / "usr/bin/extra").write_text("")
    result = CliRunner().invoke(app, ["diff", str(one.directory), str(two.directory)])
    assert result.exit_code == 0
    assert "  /usr/bin/extra" in result.output
    listing = tmp_path / "listing"
    listing.write_text("./usr\n./usr/bin\n./usr/bin/theirs\n")
    result = CliRunner().invoke(app, ["diff", str(one.directory), str(listing), "--all"])
    assert f"only in {listing}: 1\n  /usr/bin/theirs" in result.output and "in both: 2" in result.output


def test_what_cannot_be_built_is_said(tmp_path):
    result = CliRunner().invoke(app, ["build", "centos", "-o", str(tmp_path / "x")])
    assert result.exit_code == 1 and "unknown base" in result.output
    result = CliRunner().invoke(app, ["build", "--arch", "sparc"])
    assert result.exit_code == 1 and "x86_64, arm64" in result.output
