"""`lambdad deploy`: create or update a function, code and configuration, and wait until it can be called."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lambdad.cli import endpoint as endpoints
from lambdad.cli.bundle import Bundle, bundle_directory
from lambdad.cli.endpoint import Endpoint, EndpointOption, JsonOption
from lambdad.cli.errors import CliError
from lambdad.cli.guess import Guess, family_of, guess_function, newest
from lambdad.cli.output import note, print_json, print_table, progress, size

LOCAL_ROLE = "arn:aws:iam::000000000000:role/lambdad"
"""For a lambdad, which assumes no role: the API requires one."""
WAIT_S = 600.0
_PAUSES_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Between two looks at the function; the last goes on."""
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9-_]+")

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the user asked for; None leaves a thing as it is, or to AWS's default."""

    name: str
    bundle: Bundle | None
    image: str | None
    runtime: str | None
    handler: str | None
    role: str | None
    architecture: str | None
    settings: dict[str, Any]
    """Members that CreateFunction and UpdateFunctionConfiguration share."""


@app.command()
def deploy(
    directory: Annotated[Path | None, typer.Argument(metavar="DIR", help="Directory of the function.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the function. Default: that of the directory.")] = None,
    runtime: Annotated[str | None, typer.Option(help="Such as python3.12. Default: guessed from the files.")] = None,
    handler: Annotated[str | None, typer.Option(help="Such as app.handler. Default: guessed from the files.")] = None,
    layers: Annotated[list[str] | None, typer.Option("--layers", metavar="ARN", help="Layer version; repeat.")] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="K=V", help="Environment variable; repeat. Replaces all that were set."),
    ] = None,
    memory: Annotated[int | None, typer.Option(metavar="MB", help="Memory.")] = None,
    timeout: Annotated[int | None, typer.Option(metavar="SECONDS", help="Timeout.")] = None,
    ephemeral: Annotated[int | None, typer.Option(metavar="MB", help="Size of /tmp.")] = None,
    architecture: Annotated[str | None, typer.Option(help="x86_64 or arm64.")] = None,
    role: Annotated[str | None, typer.Option(metavar="ARN", help="Execution role; AWS needs one.")] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Publish a version.")] = False,
    image: Annotated[str | None, typer.Option(metavar="URI", help="Container image instead of a directory.")] = None,
    endpoint: EndpointOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create or update a function from a directory or an image."""
    if (directory is None) == (image is None):
        raise typer.BadParameter("give either a directory or --image")
    settings = _settings(layers, env, memory, timeout, ephemeral)
    wanted = Wanted(
        name=name or _default_name(directory, image),
        bundle=None if directory is None else bundle_directory(directory),
        image=image,
        runtime=runtime,
        handler=handler,
        role=role,
        architecture=architecture,
        settings=settings,
    )
    guess = None if directory is None or (runtime and handler) else guess_function(directory)
    configuration = _deploy(wanted, guess, endpoints.resolve_endpoint(endpoint), is_published=publish)
    if as_json:
        print_json(configuration)
    else:
        print_table(("", ""), _summary(configuration))


def parse_variables(pairs: Iterable[str]) -> dict[str, str]:
    """`K=V` pairs. Raises typer.BadParameter for what is none."""
    variables = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"--env {pair!r}: must be NAME=VALUE")
        variables[key] = value
    return variables


def _settings(
    layers: Sequence[str] | None,
    env: Sequence[str] | None,
    memory: int | None,
    timeout: int | None,
    ephemeral: int | None,
) -> dict[str, Any]:
    given = {
        "Layers": list(layers) if layers else None,
        "Environment": {"Variables": parse_variables(env)} if env else None,
        "MemorySize": memory,
        "Timeout": timeout,
        "EphemeralStorage": None if ephemeral is None else {"Size": ephemeral},
    }
    return {key: value for key, value in given.items() if value is not None}


def _default_name(directory: Path | None, image: str | None) -> str:
    if directory is not None:
        source = directory.resolve().name
    else:
        source = (image or "").partition("@")[0].rpartition("/")[2].partition(":")[0]
    name = _NOT_IN_NAMES.sub("-", source).strip("-")
    if not name:
        raise typer.BadParameter("give the function a --name")
    return name


def _deploy(wanted: Wanted, guess: Guess | None, endpoint: Endpoint, *, is_published: bool) -> dict[str, Any]:
    from lambdad.cli.client import make_client, service_errors

    client = make_client(endpoint, "lambda")
    with service_errors(endpoint), progress(f"Deploying {wanted.name}"):
        current = _current(client, wanted.name)
        if current is None:
            _create(client, endpoint, wanted, guess)
        else:
            _update(client, endpoint, wanted, guess, current)
        configuration = _wait(client, wanted.name)
        if is_published:
            version = client.publish_version(FunctionName=wanted.name)["Version"]
            configuration = _wait(client, wanted.name, version)
    configuration.pop("ResponseMetadata", None)
    return configuration


def _current(client: Any, name: str) -> dict[str, Any] | None:
    try:
        configuration: dict[str, Any] = client.get_function_configuration(FunctionName=name)
    except client.exceptions.ResourceNotFoundException:
        return None
    return configuration


def _create(client: Any, endpoint: Endpoint, wanted: Wanted, guess: Guess | None) -> None:
    role = wanted.role
    if role is None:
        if endpoint.is_aws:
            raise CliError("AWS needs a --role for a new function")
        role = LOCAL_ROLE
    request: dict[str, Any] = {"FunctionName": wanted.name, "Role": role, **wanted.settings}
    if wanted.architecture:
        request["Architectures"] = [wanted.architecture]
    if wanted.bundle is not None:
        request["Code"] = {"ZipFile": wanted.bundle.content}
        request["Runtime"], request["Handler"] = _runtime_and_handler(client, endpoint, wanted, guess)
    else:
        request["PackageType"] = "Image"
        request["Code"] = {"ImageUri": wanted.image}
    client.create_function(**request)


def _update(client: Any, endpoint: Endpoint, wanted: Wanted, guess: Guess | None, current: dict[str, Any]) -> None:
    is_image = current.get("PackageType") == "Image"
    if is_image != (wanted.image is not None):
        kind = "an image" if is_image else "a zip"
        raise CliError(f"{wanted.name} was made from {kind}, which cannot change: `lambdad rm` it first")
    _wait(client, wanted.name)
    _update_code(client, wanted, current)
    changes = dict(wanted.settings)
    if wanted.role:
        changes["Role"] = wanted.role
    if wanted.bundle is not None:
        changes.update(_changed_runtime(client, endpoint, wanted, guess, current))
    if changes:
        client.update_function_configuration(FunctionName=wanted.name, **changes)


def _update_code(client: Any, wanted: Wanted, current: dict[str, Any]) -> None:
    request: dict[str, Any] = {"FunctionName": wanted.name}
    if wanted.architecture:
        request["Architectures"] = [wanted.architecture]
    if wanted.bundle is None:
        request["ImageUri"] = wanted.image
    elif current.get("CodeSha256") == wanted.bundle.code_sha256 and not wanted.architecture:
        note("code: unchanged")
        return
    else:
        request["ZipFile"] = wanted.bundle.content
    client.update_function_code(**request)
    _wait(client, wanted.name)


def _changed_runtime(
    client: Any, endpoint: Endpoint, wanted: Wanted, guess: Guess | None, current: dict[str, Any]
) -> dict[str, str]:
    """What was asked for; and the guess, if the files are no longer of the language that the function has."""
    changes = {"Runtime": wanted.runtime, "Handler": wanted.handler}
    if guess is not None and wanted.runtime is None and guess.family != family_of(current.get("Runtime")):
        changes["Runtime"], changes["Handler"] = _runtime_and_handler(client, endpoint, wanted, guess)
    return {key: value for key, value in changes.items() if value is not None}


def _runtime_and_handler(client: Any, endpoint: Endpoint, wanted: Wanted, guess: Guess | None) -> tuple[str, str]:
    runtime, handler = wanted.runtime, wanted.handler
    if runtime and handler:
        return runtime, handler
    if guess is None:
        raise CliError(
            "cannot tell the runtime from the files (no executable bootstrap, no index.js or handler.js, no app.py, "
            "lambda_function.py, main.py or handler.py with a handler): give --runtime and --handler"
        )
    if runtime is None:
        offered = _offered_runtimes(client, endpoint)
        runtime = newest(offered, guess.family)
        if runtime is None:
            raise CliError(f"{guess.because} needs a {guess.family} runtime, but {endpoint} has {', '.join(offered)}")
    handler = handler or guess.handler
    note(f"guessed from {guess.because}: runtime {runtime}, handler {handler}")
    return runtime, handler


def _offered_runtimes(client: Any, endpoint: Endpoint) -> list[str]:
    """What a lambdad says it has; elsewhere, what the service model knows."""
    page = None if endpoint.is_aws else endpoints.read_health(endpoint)
    if page is not None and isinstance(page.get("runtimes"), list):
        return [str(name) for name in page["runtimes"]]
    return list(client.meta.service_model.shape_for("Runtime").enum)


def _wait(
    client: Any, name: str, qualifier: str | None = None, sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """The configuration once nothing is going on. Raises CliError if that failed or takes too long."""
    request = {"FunctionName": name} | ({} if qualifier is None else {"Qualifier": qualifier})
    deadline = time.monotonic() + WAIT_S
    looks = 0
    while True:
        configuration: dict[str, Any] = client.get_function_configuration(**request)
        state, update = configuration.get("State", "Active"), configuration.get("LastUpdateStatus", "Successful")
        if state == "Failed" or update == "Failed":
            reason = (
                configuration.get("StateReason") or configuration.get("LastUpdateStatusReason") or "no reason given"
            )
            raise CliError(f"{name} failed: {reason}")
        if state not in ("Pending", "Deactivating") and update != "InProgress":
            return configuration
        if time.monotonic() > deadline:
            raise CliError(f"{name} is still {state} after {WAIT_S:.0f} s")
        sleep(_PAUSES_S[min(looks, len(_PAUSES_S) - 1)])
        looks += 1


def _summary(configuration: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("Function", configuration["FunctionName"]), ("Version", configuration.get("Version", ""))]
    if configuration.get("PackageType") != "Image":
        rows += [("Runtime", configuration.get("Runtime", "")), ("Handler", configuration.get("Handler", ""))]
    rows += [
        ("Code", size(configuration.get("CodeSize"))),
        ("Memory", f"{configuration.get('MemorySize', '')} MB"),
        ("Timeout", f"{configuration.get('Timeout', '')} s"),
        ("State", configuration.get("State", "Active")),
        ("ARN", configuration.get("FunctionArn", "")),
    ]
    return rows
