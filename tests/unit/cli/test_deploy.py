"""`lambdad deploy` creates and updates, and waits until the function can be called."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "hello"
    directory.mkdir()
    (directory / "app.py").write_text("def handler(event, context):\n    return event\n")
    return directory


def test_a_new_function_is_created_with_what_was_guessed(fake: Any, lambdad: Command, project: Path) -> None:
    status, out, err = lambdad("deploy", str(project))
    assert status == 0
    assert err == "guessed from app.py: runtime python3.11, handler app.handler\n"
    created = fake.parameters("CreateFunction")
    assert (created["Runtime"], created["Handler"]) == ("python3.11", "app.handler")
    assert created["Role"] == "arn:aws:iam::000000000000:role/lambdad"
    assert fake.operations == ["CreateFunction"]
    assert "Function  hello" in out
    assert "State     Active" in out


def test_all_options_reach_the_function(fake: Any, lambdad: Command, project: Path) -> None:
    layer = "arn:aws:lambda:us-east-1:000000000000:layer:l:1"
    role = "arn:aws:iam::123456789012:role/r"
    status, out, err = lambdad(
        "deploy", str(project), "--name", "other", "--runtime", "nodejs20.x", "--handler", "a.b", "--layers", layer,
        "--env", "AA=1", "--env", "BB=x=y", "--memory", "512", "--timeout", "9", "--ephemeral", "1024",
        "--architecture", "arm64", "--role", role, "--publish", "--json",
    )  # fmt: skip
    assert (status, err) == (0, "")
    created = fake.parameters("CreateFunction")
    assert created == {
        "FunctionName": "other",
        "Runtime": "nodejs20.x",
        "Handler": "a.b",
        "Layers": [layer],
        "Environment": {"Variables": {"AA": "1", "BB": "x=y"}},
        "MemorySize": 512,
        "Timeout": 9,
        "EphemeralStorage": {"Size": 1024},
        "Architectures": ["arm64"],
        "Role": role,
    }
    assert fake.operations == ["CreateFunction", "PublishVersion"]
    assert json.loads(out)["FunctionName"] == "other"


def test_an_update_changes_code_and_configuration_and_waits(fake: Any, lambdad: Command, project: Path) -> None:
    lambdad("deploy", str(project))
    (project / "app.py").write_text("def handler(event, context):\n    return 1\n")
    fake.calls.clear()
    fake.pending = 2
    status, _, err = lambdad("deploy", str(project), "--memory", "256")
    assert (status, err) == (0, "")
    assert fake.operations == ["UpdateFunctionCode", "UpdateFunctionConfiguration"]
    assert fake.parameters("UpdateFunctionConfiguration") == {"FunctionName": "hello", "MemorySize": 256}


def test_the_same_code_is_not_uploaded_again(fake: Any, lambdad: Command, project: Path) -> None:
    lambdad("deploy", str(project))
    fake.calls.clear()
    status, _, err = lambdad("deploy", str(project))
    assert (status, err, fake.operations) == (0, "code: unchanged\n", [])


def test_another_language_changes_the_runtime(fake: Any, lambdad: Command, project: Path) -> None:
    lambdad("deploy", str(project))
    (project / "app.py").unlink()
    (project / "index.mjs").write_text("export const handler = async () => 1;\n")
    status, _, err = lambdad("deploy", str(project))
    assert status == 0
    assert err == "guessed from index.mjs: runtime nodejs20.x, handler index.handler\n"
    changed = fake.parameters("UpdateFunctionConfiguration")
    assert (changed["Runtime"], changed["Handler"]) == ("nodejs20.x", "index.handler")


def test_an_image_is_deployed_by_its_uri(fake: Any, lambdad: Command) -> None:
    status, _, _ = lambdad("deploy", "--image", "registry.example:5000/team/app:1")
    assert status == 0
    created = fake.parameters("CreateFunction")
    assert (created["FunctionName"], created["PackageType"]) == ("app", "Image")
    assert "Runtime" not in created


def test_the_kind_of_a_function_cannot_change(fake: Any, lambdad: Command, project: Path) -> None:
    lambdad("deploy", str(project))
    status, _, err = lambdad("deploy", "--image", "r.example/hello:1", "--name", "hello")
    assert status == 1
    assert err == "error: hello was made from a zip, which cannot change: `lambdad rm` it first\n"


def test_a_failed_function_says_why(fake: Any, lambdad: Command, project: Path) -> None:
    fake.failure = "no such image"
    assert lambdad("deploy", str(project))[::2] == (
        1,
        "guessed from app.py: runtime python3.11, handler app.handler\nerror: hello failed: no such image\n",
    )


def test_files_that_tell_nothing_need_options(fake: Any, lambdad: Command, tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x")
    status, _, err = lambdad("deploy", str(tmp_path), "--name", "f")
    assert status == 1
    assert "give --runtime and --handler" in err


def test_a_runtime_that_the_server_lacks_is_named(fake: Any, lambdad: Command, project: Path) -> None:
    fake.runtimes = ["provided.al2023"]
    status, _, err = lambdad("deploy", str(project))
    assert status == 1
    assert err == f"error: app.py needs a python runtime, but {fake.url} has provided.al2023\n"


def test_a_server_without_a_health_page_is_asked_for_the_newest_of_the_model(
    fake: Any, lambdad: Command, project: Path
) -> None:
    fake.runtimes = None
    status, _, _ = lambdad("deploy", str(project))
    assert status == 0
    assert fake.parameters("CreateFunction")["Runtime"].startswith("python3.1")


def test_the_uploaded_zip_holds_the_files(
    fake: Any, lambdad: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploaded: list[bytes] = []
    create = fake._create
    monkeypatch.setattr(fake, "_create", lambda given: (uploaded.append(given["Code"]["ZipFile"]), create(given))[1])
    assert lambdad("deploy", str(project))[0] == 0
    with zipfile.ZipFile(io.BytesIO(uploaded[0])) as archive:
        assert archive.namelist() == ["app.py"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("deploy",),
        ("deploy", ".", "--image", "x"),
        ("deploy", ".", "--env", "novalue"),
        ("deploy", ".", "--env", "=x"),
        ("deploy", ".", "--memory", "much"),
        ("deploy", ".", "--nonsense"),
    ],
)
def test_wrong_use_is_exit_status_2(lambdad: Command, arguments: tuple[str, ...]) -> None:
    assert lambdad(*arguments)[0] == 2


def test_an_error_of_the_service_is_one_line(fake: Any, lambdad: Command, project: Path) -> None:
    status, out, err = lambdad("deploy", str(project), "--name", "bad name")
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert err.startswith("error: ValidationException: 1 validation error detected: Value 'bad name'")
