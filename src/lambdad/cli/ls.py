"""`lambdad ls`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lambdad.cli.endpoint import EndpointOption, JsonOption, resolve_endpoint
from lambdad.cli.output import note, print_json, print_table, size

_COLUMNS = ("Function", "Version", "Runtime", "Handler", "Code", "Memory", "Timeout", "Modified")

app = typer.Typer(add_completion=False)


@app.command()
def ls(
    versions: Annotated[bool, typer.Option("--versions", help="Published versions too.")] = False,
    endpoint: EndpointOption = None,
    as_json: JsonOption = False,
) -> None:
    """List functions."""
    from lambdad.cli.client import make_client, service_errors

    place = resolve_endpoint(endpoint)
    client = make_client(place, "lambda")
    request = {"FunctionVersion": "ALL"} if versions else {}
    with service_errors(place):
        pages = client.get_paginator("list_functions").paginate(**request)
        functions = [function for page in pages for function in page["Functions"]]
    functions.sort(key=_order)
    if as_json:
        print_json(functions)
    elif functions:
        print_table(_COLUMNS, [_row(function) for function in functions])
    else:
        note(f"no functions at {place}")


def _order(function: dict[str, Any]) -> tuple[str, int]:
    version = function.get("Version", "")
    return function["FunctionName"], int(version) if version.isdigit() else -1


def _row(function: dict[str, Any]) -> tuple[str, ...]:
    is_image = function.get("PackageType") == "Image"
    return (
        function["FunctionName"],
        function.get("Version", ""),
        "(image)" if is_image else function.get("Runtime", ""),
        function.get("Handler", ""),
        size(function.get("CodeSize")),
        f"{function.get('MemorySize', '')} MB",
        f"{function.get('Timeout', '')} s",
        function.get("LastModified", "").partition(".")[0].replace("T", " "),
    )
