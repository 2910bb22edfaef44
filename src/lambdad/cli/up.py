"""`lambdad up`: the options of a node as its configuration. The node itself is `lambdad.node`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lambdad.cli.errors import CliError
from lambdad.cli.up_watches import Watch, Watches, parse_watches

_WATCHING = ("watch", "watch_layer")

app = typer.Typer(add_completion=False)


@app.command()
def up(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="TOML file; options win over it.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one. Default: 9000.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where functions and their state are kept.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="Region of callers that name none. Default: us-east-1.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Concurrent executions. Default: 1000.")] = None,
    keep_alive: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long idle sandboxes are kept.")
    ] = None,
    auth: Annotated[
        str | None, typer.Option(help="auto, or required: no caller without a key of `lambdad keys`.")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Root of functions from zips, of `lambdad base build`. Default: the host's."),
    ] = None,
    runtimes: Annotated[
        str | None, typer.Option(help="For a runtime that is not here: nearest version, or exact, which refuses.")
    ] = None,
    roles: Annotated[str | None, typer.Option(help="Roles functions may have: any, or kept: made here by IAM.")] = None,
    egress: Annotated[str | None, typer.Option(help="Network of functions: none, internet or host.")] = None,
    egress_allow: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Private address, network or ADDRESS:PORT open to `internet`."),
    ] = None,
    function_endpoints: Annotated[
        list[str] | None,
        typer.Option("--function-endpoint", metavar="node|[SERVICE=]URL", help="AWS as functions see it; repeat."),
    ] = None,
    chunk_store: Annotated[
        str | None, typer.Option(metavar="DIR|s3://BUCKET", help="Where pieces of images are kept.")
    ] = None,
    chunk_endpoint: Annotated[str | None, typer.Option(metavar="URL", help="S3-compatible service of it.")] = None,
    cache_nodes: Annotated[
        list[str] | None,
        typer.Option("--cache-node", metavar="redis://HOST:PORT", help="A cache of pieces; five or more make sense."),
    ] = None,
    zygotes: Annotated[bool | None, typer.Option("--zygotes/--no-zygotes", help="Start Python as a fork.")] = None,
    json_logs: Annotated[bool | None, typer.Option("--json-logs", help="Log one JSON object for each line.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. Default: info.")] = None,
    watch: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR[:NAME]", help="Deploy it as a function, again whenever a file changes; repeat."),
    ] = None,
    watch_layer: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="A layer of what is watched, in its /opt; repeat.")
    ] = None,
) -> None:
    """Run a node: the Lambda API and the sandboxes behind it. Ctrl-C ends it."""
    watches = parse_watches(watch or (), watch_layer or ())
    raise typer.Exit(_run(config, _chosen(context.params), watches))


def _chosen(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given and are keys of the configuration, by their names there."""
    own = ("config", *_WATCHING)
    options = {name: value for name, value in parameters.items() if name not in own and value not in (None, [], ())}
    if "base" in options:
        options["base"] = str(options["base"])
    return options


def _run(file: Path | None, options: Mapping[str, Any], watches: Sequence[Watch]) -> int:
    """Run a node, and what watches beside it, to its end; the exit status."""
    # Imported here so that the other commands do not pay for the node.
    from lambdad.node import config as node_config
    from lambdad.node import up as node

    try:
        loaded = node_config.load(file, options)
    except node_config.ConfigError as error:
        raise CliError(str(error)) from None
    with Watches(watches) as watching:
        return node.run(loaded, lambda running: watching.start(running.host, running.port))
