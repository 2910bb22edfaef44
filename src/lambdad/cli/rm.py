"""`lambdad rm`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from lambdad.cli.endpoint import EndpointOption, JsonOption, resolve_endpoint
from lambdad.cli.output import print_json, print_line

app = typer.Typer(add_completion=False)


@app.command()
def rm(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name or ARN of the function.")],
    qualifier: Annotated[str | None, typer.Option(help="Delete only this version.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    endpoint: EndpointOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a function, with its versions and aliases, or one of its versions."""
    place = resolve_endpoint(endpoint)
    what = name if qualifier is None else f"{name}:{qualifier}"
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("standard input is not a terminal: say --yes")
        typer.confirm(f"Delete {what} at {place}?", abort=True, err=True)
    from lambdad.cli.client import make_client, service_errors

    client = make_client(place, "lambda")
    request = {"FunctionName": name} | ({} if qualifier is None else {"Qualifier": qualifier})
    with service_errors(place):
        client.delete_function(**request)
    if as_json:
        print_json({"deleted": what})
    else:
        print_line(f"deleted {what}")
