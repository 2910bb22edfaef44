"""Making /var/runtime for Python: complete, readable by all, compiled, once."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import threading
from importlib import metadata
from pathlib import Path

import pytest

from lambdad.runtimes import python_tree
from lambdad.runtimes.python_tree import build_python_tree, python_tree_name
from lambdad.runtimes.tree_cache import TreeError

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
SOABI = str(sysconfig.get_config_var("SOABI"))


def _build(target: Path, interpreter: str = sys.executable) -> None:
    build_python_tree(target, minor=MINOR, soabi=SOABI, interpreter=interpreter)


@pytest.fixture
def _without_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_tree, "SDK_DISTRIBUTIONS", ())


def test_a_tree_runs_the_client_and_the_sdk_by_itself(tmp_path: Path) -> None:
    target = tmp_path / "runtimes" / python_tree_name(MINOR, SOABI)
    _build(target)
    code = (
        f"import sys; sys.path.append({str(target)!r});"
        "import awslambdaric, boto3, runtime_client, snapshot_restore_py;"
        "print(awslambdaric.__version__, boto3.__version__, runtime_client.__file__);"
        "boto3.client('s3', region_name='x', aws_access_key_id='x', aws_secret_access_key='x')"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], stdout=subprocess.PIPE, timeout=120, check=True)
    versions = [metadata.version(name) for name in ("awslambdaric", "boto3")]
    assert done.stdout.decode().split() == [*versions, f"{target}/runtime_client.py"]
    assert {path.stat().st_mode & 0o777 for path in target.rglob("*.py")} == {0o644}
    assert os.listdir(target.parent) == [target.name]


@pytest.mark.usefixtures("_without_sdk")
def test_a_tree_is_compiled_and_holds_code_for_this_interpreter_only(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        _build(tmp_path / "t")
    finally:
        os.umask(old)
    assert list((tmp_path / "t" / "awslambdaric" / "__pycache__").glob(f"bootstrap.{sys.implementation.cache_tag}.pyc"))
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "t").rglob("*") if path.is_dir()} == {0o755}
    assert all(SOABI in path.name or "abi3" in path.name for path in (tmp_path / "t").rglob("*.so"))
    build_python_tree(tmp_path / "other", minor=MINOR, soabi="cpython-399-x", interpreter=sys.executable)
    assert list((tmp_path / "other").rglob("*.so")) == []
    assert list((tmp_path / "other").rglob("tests")) == []


@pytest.mark.usefixtures("_without_sdk")
def test_a_tree_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    _build(tmp_path / "t", interpreter="/nonexistent")
    assert os.listdir(tmp_path / "t") == []


@pytest.mark.usefixtures("_without_sdk")
def test_two_builders_at_once_make_one_tree(tmp_path: Path) -> None:
    threads = [threading.Thread(target=_build, args=(tmp_path / "runtimes" / "t",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert os.listdir(tmp_path / "runtimes") == ["t"]
    assert (tmp_path / "runtimes" / "t" / "bootstrap.py").is_file()


@pytest.mark.usefixtures("_without_sdk")
def test_an_interpreter_that_is_gone_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TreeError, match=r"could not be put into"):
        _build(tmp_path / "runtimes" / "t", interpreter=str(tmp_path / "nothing"))
    assert os.listdir(tmp_path / "runtimes") == []


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_tree, "CLIENT_DISTRIBUTIONS", ("no-such-distribution",))
    with pytest.raises(TreeError, match="The Python package no-such-distribution is missing beside lambdad"):
        python_tree_name(MINOR, SOABI)


def test_trees_are_named_by_interpreter_and_content(monkeypatch: pytest.MonkeyPatch) -> None:
    name = python_tree_name("3.12", "cpython-312-x")
    assert name.startswith("python3.12-")
    assert name == python_tree_name("3.12", "cpython-312-x")
    assert name != python_tree_name("3.12", "cpython-312-y")
    monkeypatch.setattr(python_tree, "SDK_DISTRIBUTIONS", ())
    assert name != python_tree_name("3.12", "cpython-312-x")
    assert python_tree_name("3.9", "x").startswith("python3.9-")
