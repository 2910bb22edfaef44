"""Records that the store's tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from lambdad.model.arn import Namespace
from lambdad.model.environment import Code
from lambdad.model.function import Alias, Deployment, Function, FunctionVersion, Logging, Package, Settings, Status
from lambdad.model.layer import LayerVersion
from lambdad.store.metadata import SqliteStore

SPACE = Namespace("123456789012", "eu-west-1")
OTHER = Namespace("123456789012", "us-east-1")


def make_function(name: str = "f", namespace: Namespace = SPACE) -> Function:
    return Function(namespace=namespace, name=name)


def make_deployment(identity: str = "d", timeout_s: int = 3) -> Deployment:
    settings = Settings(
        role="r", timeout_s=timeout_s, memory_mb=128, ephemeral_mb=512, logging=Logging(log_group="/aws/lambda/f")
    )
    return Deployment(id=identity, settings=settings, package=Package(code=Code(sha256="ab" * 32, size=7)))


def make_version(
    version: str = "$LATEST", name: str = "f", namespace: Namespace = SPACE, deployment: Deployment | None = None
) -> FunctionVersion:
    """An Active version that serves what it asks for."""
    deployment = deployment or make_deployment(f"deployment of {name}:{version}")
    return FunctionVersion(
        namespace=namespace,
        name=name,
        version=version,
        deployment=deployment,
        serving=deployment,
        revision_id="revision",
        last_modified=1.5,
        state=Status(value="Active"),
        last_update=Status(value="Successful"),
    )


def make_alias(name: str = "live", version: str = "1", function: str = "f") -> Alias:
    return Alias(
        namespace=SPACE, function=function, name=name, version=version, weights={"2": 0.25}, revision_id="revision"
    )


def make_layer(name: str = "l", version: int = 1, namespace: Namespace = SPACE) -> LayerVersion:
    return LayerVersion(
        namespace=namespace,
        name=name,
        version=version,
        code=Code(sha256="cd" * 32, size=5),
        unzipped_size=9,
        created=2.5,
        runtimes=("python3.12",),
    )


def run_with_store(path: Path, body: Callable[[SqliteStore], Awaitable[None]]) -> None:
    """`body` with an open store in `path`."""

    async def main() -> None:
        store = SqliteStore(path / "control.db")
        await store.open()
        try:
            await asyncio.wait_for(body(store), 60)
        finally:
            await store.close()

    asyncio.run(main())
