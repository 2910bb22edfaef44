"""The command line: one module for each command, imported when the command is used.

`lambdad version` must not pay for boto3, nor `lambdad up` for the layer builder. So the list below holds what `--help`
shows, and a module is imported only by the command that it implements. A module of a command has a `typer.Typer` named
`app`, with one command or a group of them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from lambdad.cli.errors import CliError
from lambdad.cli.output import fail


class Entry(NamedTuple):
    """A command as `lambdad --help` lists it. module: where its `app` is."""

    name: str
    module: str
    help: str


COMMANDS = (
    Entry("up", "lambdad.cli.up", "Run a node: the Lambda API and the sandboxes behind it."),
    Entry("deploy", "lambdad.cli.deploy", "Create or update a function from a directory or an image."),
    Entry("invoke", "lambdad.cli.invoke", "Call a function and print what it returns."),
    Entry("logs", "lambdad.cli.logs", "Show what a function has logged."),
    Entry("queue", "lambdad.cli.queue", "Show and mend the queue of asynchronous invokes."),
    Entry("keys", "lambdad.cli.keys", "Create, list and revoke access keys."),
    Entry("ls", "lambdad.cli.ls", "List functions."),
    Entry("rm", "lambdad.cli.rm", "Delete a function or one of its versions."),
    Entry("layer", "lambdad.cli.layer", "Build, check and publish layers."),
    Entry("runtime", "lambdad.cli.runtime", "Prove that a custom runtime keeps to the Runtime API."),
    Entry("image", "lambdad.cli.image", "Pull, inspect, mount and serve container images, without a server."),
    Entry("base", "lambdad.cli.base", "Make and compare root file systems that look like Lambda's."),
    Entry("version", "lambdad.cli.version", "Print the version."),
)


class _LazyGroup(TyperGroup):
    """The commands of the list. Help is formatted from the list alone; the command that runs is loaded."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [entry.name for entry in COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:
        entry = next((entry for entry in COMMANDS if entry.name == cmd_name), None)
        return None if entry is None else TyperCommand(entry.name, help=entry.help, callback=None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, None if listed is None else _load(listed.name), rest


def _load(name: str | None) -> Any:
    entry = next(entry for entry in COMMANDS if entry.name == name)
    loaded: typer.Typer = importlib.import_module(entry.module).app
    is_group = len(loaded.registered_commands) > 1 or bool(loaded.registered_groups)
    command = typer.main.get_group(loaded) if is_group else typer.main.get_command(loaded)
    command.name = entry.name
    return command


app = typer.Typer(
    cls=_LazyGroup,
    name="lambdad",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _lambdad() -> None:
    """AWS Lambda on your own Linux machines, behind AWS's own API."""


def run(arguments: Sequence[str]) -> int:
    """Run a command; the exit status: 0 success, 1 failure, 2 wrong use, 130 interrupted."""
    try:
        typer.main.get_command(app).main(args=list(arguments), prog_name="lambdad", standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except CliError as error:
        fail(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def main() -> None:
    """Entry point of the `lambdad` command."""
    sys.exit(run(sys.argv[1:]))
