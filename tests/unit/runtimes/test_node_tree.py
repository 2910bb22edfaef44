"""Making /var/runtime for Node.js: what npm delivers is checked, and every failure says what to do. No network."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from lambdad.runtimes import node_tree
from lambdad.runtimes.node_tree import build_node_tree, node_tree_name
from lambdad.runtimes.tree_cache import TreeError

FILES = ("package.json", "dist/index.mjs", "LICENSE", "NOTICE", "THIRD-PARTY-LICENSES")


def _package(*names: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in (*names, "../../evil", "scripts/install.sh"):
            member = tarfile.TarInfo(f"package/{name}")
            member.type = kind
            member.linkname = "/etc/passwd"
            member.size = len(name) if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(name.encode()))
    return buffer.getvalue()


def _fake_npm(folder: Path, package: bytes) -> str:
    """An npm that delivers `package`, beside a node. Returns the node's path."""
    folder.mkdir()
    (folder / "package.tgz").write_bytes(package)
    npm = folder / "npm"
    npm.write_text(f'#!/bin/sh\ncp {folder}/package.tgz "$6/aws-lambda-ric-3.3.0.tgz"\n')
    npm.chmod(0o755)
    return str(folder / "node")


def _expect(monkeypatch: pytest.MonkeyPatch, package: bytes) -> None:
    digest = base64.b64encode(hashlib.sha512(package).digest()).decode()
    release = replace(node_tree._WITH_CALLBACKS, integrity=f"sha512-{digest}")
    monkeypatch.setattr(node_tree, "_WITH_CALLBACKS", release)


def test_a_tree_holds_the_known_files_of_the_package_and_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = _package(*FILES)
    _expect(monkeypatch, package)
    target = tmp_path / "runtimes" / node_tree_name(20)
    build_node_tree(target, _fake_npm(tmp_path / "bin", package), 20)
    found = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert found == {"index.mjs", "transport.mjs", *(f"node_modules/aws-lambda-ric/{name}" for name in FILES)}
    assert {path.stat().st_mode & 0o777 for path in target.rglob("*") if path.is_file()} == {0o644}
    assert {path.stat().st_mode & 0o777 for path in (target, *target.rglob("*")) if path.is_dir()} == {0o755}
    assert os.listdir(target.parent) == [target.name]
    build_node_tree(target, "/nonexistent/node", 20)


def test_a_package_with_another_digest_is_thrown_away(tmp_path: Path) -> None:
    node = _fake_npm(tmp_path / "bin", _package(*FILES))
    with pytest.raises(TreeError, match=r"another aws-lambda-ric@3\.3\.0 than the one that lambdad knows"):
        build_node_tree(tmp_path / "runtimes" / "t", node, 20)
    assert os.listdir(tmp_path / "runtimes") == []


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        (_package(*FILES[:-1]), "without package/THIRD-PARTY-LICENSES"),
        (_package(*FILES, kind=tarfile.SYMTYPE), "is not a file of a sensible size"),
        (b"no archive", "is no archive of aws-lambda-ric"),
    ],
)
def test_a_package_of_another_shape_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: bytes, reason: str
) -> None:
    _expect(monkeypatch, package)
    with pytest.raises(TreeError, match=reason):
        build_node_tree(tmp_path / "runtimes" / "t", _fake_npm(tmp_path / "bin", package), 20)
    assert os.listdir(tmp_path / "runtimes") == []


def test_without_npm_the_error_says_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TreeError, match=r"aws-lambda-ric@4\.0\.2 with npm .* there is no npm .*: install npm"):
        build_node_tree(tmp_path / "t", "/nonexistent/node", 24)


def test_when_npm_fails_its_words_are_handed_on(tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'network ENOTFOUND' >&2\nexit 1\n")
    npm.chmod(0o755)
    with pytest.raises(TreeError, match=r"network ENOTFOUND\. Is the npm registry reachable\?"):
        build_node_tree(tmp_path / "t", str(tmp_path / "node"), 20)


def test_trees_are_named_by_version_and_content(monkeypatch: pytest.MonkeyPatch) -> None:
    name = node_tree_name(20)
    assert name.startswith("node20-") and name != node_tree_name(22)
    _expect(monkeypatch, b"other")
    assert node_tree_name(20) != name
