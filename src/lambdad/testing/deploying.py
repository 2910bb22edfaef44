"""Functions for tests: from a few lines of source to an active function, and away again."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

ROLE = "arn:aws:iam::000000000000:role/lambda-role"


def zip_of(files: Mapping[str, str | bytes], modes: Mapping[str, int] | None = None) -> bytes:
    """A zip archive. modes: permission bits of files that need others than 0644."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            info.external_attr = (0o100000 | (modes or {}).get(name, 0o644)) << 16
            archive.writestr(info, content)
    return buffer.getvalue()


class Outcome:
    """What one invoke brought back."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.status: int = answer["StatusCode"]
        self.error: str | None = answer.get("FunctionError")
        self.version: str | None = answer.get("ExecutedVersion")
        self.body: bytes = answer["Payload"].read()
        self.log_result: str | None = answer.get("LogResult")
        self.headers: Mapping[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]

    @property
    def value(self) -> Any:
        """The payload, decoded."""
        return json.loads(self.body)

    @property
    def timings(self) -> dict[str, float]:
        """Milliseconds by phase."""
        timings: dict[str, float] = json.loads(self.headers["x-lambdad-timings"])
        return timings


class Deployed:
    """A function that exists for as long as a `with` block lasts."""

    def __init__(self, client: Any, name: str) -> None:
        self.client = client
        self.name = name

    def invoke(self, event: Any = None, **options: Any) -> Outcome:
        if event is not None:
            options["Payload"] = event if isinstance(event, bytes) else json.dumps(event)
        return Outcome(self.client.invoke(FunctionName=self.name, **options))

    def wait(self) -> None:
        """Until the last change has been made."""
        self.client.get_waiter("function_active_v2").wait(FunctionName=self.name)
        self.client.get_waiter("function_updated_v2").wait(FunctionName=self.name)

    def update(self, files: Mapping[str, str | bytes], modes: Mapping[str, int] | None = None) -> None:
        """Other code."""
        self.client.update_function_code(FunctionName=self.name, ZipFile=zip_of(files, modes))
        self.wait()

    def configure(self, **configuration: Any) -> None:
        self.client.update_function_configuration(FunctionName=self.name, **configuration)
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.delete_function(FunctionName=self.name)


def deploy(
    client: Any,
    files: Mapping[str, str | bytes],
    *,
    runtime: str = "python3.11",
    handler: str = "app.handler",
    modes: Mapping[str, int] | None = None,
    **configuration: Any,
) -> Deployed:
    """Create a function with a name of its own, and wait until it is active."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    client.create_function(
        FunctionName=name,
        Runtime=runtime,
        Handler=handler,
        Role=ROLE,
        Code={"ZipFile": zip_of(files, modes)},
        **configuration,
    )
    deployed = Deployed(client, name)
    deployed.wait()
    return deployed


def deploy_python(client: Any, source: str, **configuration: Any) -> Deployed:
    """A Python function whose `handler(event, context)` is in `source`."""
    return deploy(client, {"app.py": source}, **configuration)


def deploy_bootstrap(client: Any, script: str, **configuration: Any) -> Deployed:
    """A custom runtime whose `bootstrap` is a script."""
    return deploy(
        client,
        {"bootstrap": script},
        modes={"bootstrap": 0o755},
        runtime="provided.al2023",
        handler="any",
        **configuration,
    )
