"""`lambdad deploy`: create or update a function, code and configuration, and wait until it can be called.

With `--template` it is every function of a template, see `deploy_template`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from lambdad.cli import endpoint as endpoints
from lambdad.cli.bundle import Bundle, bundle_directory, describe_sizes
from lambdad.cli.endpoint import Endpoint, EndpointOption, JsonOption
from lambdad.cli.errors import CliError
from lambdad.cli.guess import Guess, family_of, guess_function, newest
from lambdad.cli.layer_directories import forget_replaced, layer_directories, name_after, publish_layers
from lambdad.cli.layer_releases import is_release, resolve_releases
from lambdad.cli.output import note, print_json, print_table, progress, size
from lambdad.cli.watching import run_once_or_watch
from lambdad.stack.errors import StackError
from lambdad.stack.settling import wait_until_settled

LOCAL_ROLE = "arn:aws:iam::000000000000:role/lambdad"
"""For a lambdad, which assumes no role: the API requires one."""
DEFAULT_ARCHITECTURE = "x86_64"
LARGE_B = 5_000_000
"""Above it a deploy says what the zip is made of: it is sent, unpacked and read again and again."""

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the user asked for; None leaves a thing as it is, or to AWS's default."""

    name: str
    directory: Path | None
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
    layers: Annotated[
        list[str] | None,
        typer.Option("--layers", metavar="ARN|NAME@N|DIR", help="Version, release, or what is to be one; repeat."),
    ] = None,
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
    template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="AWS SAM or CloudFormation template instead of a directory.")
    ] = None,
    stack: Annotated[
        str | None, typer.Option("--stack-name", help="Of a template. Default: the name of its directory.")
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", metavar="K=V", help="Of a template; repeat.")
    ] = None,
    skip: Annotated[
        bool, typer.Option("--skip-unsupported", help="Of a template: leave out what is no Lambda.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Deploy again whenever a file changes.")] = False,
    endpoint: EndpointOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create or update a function from a directory or an image, or all functions of a template."""
    if [directory, image, template].count(None) != 2:
        raise typer.BadParameter("give one of these: a directory, --image, --template")
    if directory is not None and not directory.is_dir():
        raise CliError(f"{directory} is not a directory: give the one that holds the function's files")
    chosen = endpoints.resolve_endpoint(endpoint)
    if template is not None:
        from lambdad.cli.deploy_template import Order, deploy_template

        order = Order(template, stack, parse_pairs("--parameter", parameter or ()), skip)
        run_once_or_watch(template.parent, watch, functools.partial(deploy_template, order, chosen, as_json))
        return
    wanted = Wanted(
        name=name or _default_name(directory, image),
        directory=directory,
        image=image,
        runtime=runtime,
        handler=handler,
        role=role,
        architecture=architecture,
        settings=_settings(layers, env, memory, timeout, ephemeral),
    )
    run_once_or_watch(directory, watch, functools.partial(_deploy_function, wanted, chosen, publish, as_json))


def _deploy_function(wanted: Wanted, endpoint: Endpoint, publish: bool, as_json: bool) -> tuple[Path, ...]:
    """Deploy and print what was made. Returns the places of its code."""
    directory = wanted.directory
    layers = layer_directories([one for one in wanted.settings.get("Layers", ()) if not is_release(one)])
    guess = None if directory is None or (wanted.runtime and wanted.handler) else guess_function(directory, layers)
    configuration = _deploy(wanted, guess, endpoint, is_published=publish)
    if as_json:
        print_json(configuration)
    else:
        print_table(("", ""), _summary(configuration))
    return () if directory is None else (directory, *layers)


def parse_pairs(option: str, pairs: Iterable[str]) -> dict[str, str]:
    """`K=V` pairs. Raises typer.BadParameter for what is none."""
    variables = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{option} {pair!r}: must be NAME=VALUE")
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
        "Environment": {"Variables": parse_pairs("--env", env)} if env else None,
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
    name = name_after(source)
    if not name:
        raise typer.BadParameter("give the function a --name")
    return name


def _deploy(wanted: Wanted, guess: Guess | None, endpoint: Endpoint, *, is_published: bool) -> dict[str, Any]:
    from lambdad.cli.client import make_client, service_errors

    client = make_client(endpoint, "lambda")
    with service_errors(endpoint), progress(f"Deploying {wanted.name}"):
        current = _current(client, wanted.name)
        if "Layers" in wanted.settings:
            architecture = wanted.architecture or (current or {}).get("Architectures", [DEFAULT_ARCHITECTURE])[0]
            layers = resolve_releases(
                wanted.settings["Layers"], wanted.directory, client.meta.region_name, architecture
            )
            published = publish_layers(client, layers)
            wanted = replace(wanted, settings={**wanted.settings, "Layers": published})
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
    if wanted.directory is not None:
        runtime, handler = _runtime_and_handler(client, endpoint, wanted, guess)
        bundle = build_bundle(wanted.directory, runtime, wanted.architecture or DEFAULT_ARCHITECTURE)
        request |= {"Runtime": runtime, "Handler": handler, "Code": {"ZipFile": bundle.content}}
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
    changes = dict(wanted.settings)
    if wanted.role:
        changes["Role"] = wanted.role
    if wanted.directory is not None:
        changes.update(_changed_runtime(client, endpoint, wanted, guess, current))
    _update_code(client, wanted, current, changes.get("Runtime") or current.get("Runtime") or "")
    before = [layer["Arn"] for layer in current.get("Layers", ())]
    if changes.get("Layers") == before:
        del changes["Layers"]
    if changes:
        client.update_function_configuration(FunctionName=wanted.name, **changes)
    if "Layers" in changes and not endpoint.is_aws:
        _wait(client, wanted.name)
        forget_replaced(client, before, changes["Layers"])


def _update_code(client: Any, wanted: Wanted, current: dict[str, Any], runtime: str) -> None:
    request: dict[str, Any] = {"FunctionName": wanted.name}
    if wanted.architecture:
        request["Architectures"] = [wanted.architecture]
    if wanted.directory is None:
        request["ImageUri"] = wanted.image
    else:
        architecture = wanted.architecture or current.get("Architectures", [DEFAULT_ARCHITECTURE])[0]
        bundle = build_bundle(wanted.directory, runtime, architecture)
        if current.get("CodeSha256") == bundle.code_sha256 and not wanted.architecture:
            note("code: unchanged")
            return
        request["ZipFile"] = bundle.content
    client.update_function_code(**request)
    _wait(client, wanted.name)


def build_bundle(directory: Path, runtime: str, architecture: str) -> Bundle:
    """The zip of a directory with what it asks for. Raises CliError."""
    from lambdad.cli.dependencies import with_dependencies

    with with_dependencies(directory, runtime, architecture) as built:
        bundle = bundle_directory(built)
    if len(bundle.content) > LARGE_B:
        note(describe_sizes(bundle))
    return bundle


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


def _wait(client: Any, name: str, qualifier: str | None = None) -> dict[str, Any]:
    """The configuration once nothing is going on. Raises CliError if that failed or takes too long."""
    try:
        return wait_until_settled(client, name, qualifier)
    except StackError as error:
        raise CliError(str(error)) from None


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
