"""`lambdad keys`: the access keys that a node's callers sign with, in its data directory; a running node follows."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from lambdad.cli.endpoint import JsonOption
from lambdad.cli.errors import CliError
from lambdad.cli.output import note, print_json, print_line, print_table
from lambdad.identity.keys import AccessKey, KeyFile, KeysError, new_key
from lambdad.identity.managed import MANAGED
from lambdad.identity.policy import PolicyError, parse_policy
from lambdad.node.config import default_data_dir
from lambdad.node.paths import Paths

DEFAULT_ACCOUNT = "000000000000"
_DAY_S = 86_400

app = typer.Typer(help="Create, list and revoke access keys.", no_args_is_help=True)

DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="Of the node. Default: that of `lambdad up`.")
]


@app.command()
def create(
    user: Annotated[str, typer.Argument(help="Name of whoever uses the key, as ARNs show it.")] = "admin",
    account: Annotated[str, typer.Option(help="Account, 12 digits: accounts share nothing.")] = DEFAULT_ACCOUNT,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE", help=f"What it may do: a file, or {', '.join(MANAGED)}; repeat. Default: everything."
        ),
    ] = None,
    days: Annotated[float | None, typer.Option(min=0, help="Lifetime. Default: until it is revoked.")] = None,
    temporary: Annotated[bool, typer.Option("--temporary", help="With a session token; needs --days.")] = False,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. Its secret is shown once, now."""
    now = time.time()
    try:
        key = new_key(
            account=account,
            user=user,
            policies=tuple(_document(given) for given in policy or ()),
            now=now,
            expires=0.0 if days is None else now + days * _DAY_S,
            is_temporary=temporary,
        )
        _file(data_dir, make=True).create(key)
    except KeysError as error:
        raise CliError(str(error)) from None
    if as_json:
        token = {"SessionToken": key.session_token} if key.session_token else {}
        print_json({**_described(key), "SecretAccessKey": key.secret, **token})
        return
    for name, value in (
        ("AWS_ACCESS_KEY_ID", key.id),
        ("AWS_SECRET_ACCESS_KEY", key.secret),
        ("AWS_SESSION_TOKEN", key.session_token),
    ):
        if value:
            print_line(f"export {name}={value}")
    note(f"this is {key.arn}")
    note("the secret is not shown again; from now on the node checks signatures")


@app.command()
def ls(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """List keys, without their secrets."""
    try:
        keys = sorted(_file(data_dir).all().values(), key=lambda key: (key.account, key.created))
    except (KeysError, PermissionError) as error:
        raise CliError(str(error)) from None
    if as_json:
        print_json([_described(key) for key in keys])
        return
    rows = [(key.id, key.arn, _when(key.created), _when(key.expires), _may(key)) for key in keys]
    print_table(("Key", "Arn", "Created", "Expires", "May"), rows)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="Such as AKIA...")], data_dir: DataDirOption = None
) -> None:
    """Take a key back, at once."""
    keys = _file(data_dir)
    try:
        keys.revoke(key_id)
        left = keys.all()
    except (KeysError, PermissionError) as error:
        raise CliError(str(error)) from None
    if not left:
        note("no keys are left: nobody gets in until you create one")


def _file(data_dir: Path | None, *, make: bool = False) -> KeyFile:
    paths = Paths((data_dir or default_data_dir()).expanduser().absolute())
    if make:
        try:
            paths.make_state()
        except OSError as error:
            raise CliError(f"cannot write {paths.state}: {error.strerror}") from None
    return KeyFile(paths.access_keys)


def _document(given: str) -> str:
    """The policy that a name or a file means, checked."""
    if given in MANAGED:
        return MANAGED[given]
    path = Path(given)
    try:
        text = path.read_text()
        parse_policy(text)
    except OSError as error:
        known = ", ".join(MANAGED)
        raise CliError(f"--policy {given}: {error.strerror}; it is a file, or one of {known}") from None
    except (PolicyError, UnicodeDecodeError) as error:
        raise CliError(f"--policy {given}: {error}") from None
    return text


def _described(key: AccessKey) -> dict[str, object]:
    return {
        "AccessKeyId": key.id,
        "Arn": key.arn,
        "Account": key.account,
        "Created": _when(key.created),
        "Expires": _when(key.expires) or None,
        "Policies": list(key.policies),
    }


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else ""


def _may(key: AccessKey) -> str:
    names = {document: name for name, document in MANAGED.items()}
    return ", ".join(names.get(document, "own policy") for document in key.policies) or "everything"
