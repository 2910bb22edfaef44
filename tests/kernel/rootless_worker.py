"""Runs the contract of sandbox drivers as an ordinary user: `python rootless_worker.py DIRECTORY`, started as root.

In a mount namespace of its own it makes the interpreter reachable for that user, becomes it, and prints one JSON
object: `weaknesses`, and `failures` by the name of the check.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import traceback
from pathlib import Path

import lambdad
from lambdad.linux import syscalls
from lambdad.sandbox.native import NativeDriver
from lambdad.sandbox.spec import Bind, ZygoteSpec
from lambdad.testing.conformance.sandbox import CHECKS, Lab
from lambdad.testing.conformance.sandbox_programs import PROGRAM_CHECKS

USER = 12_345

ENTRY = """
import os

def preload():
    global json
    import json

def run():
    print(json.loads('"zygote"'), os.environ["WORD"], os.getcwd())
    raise SystemExit(0)
"""


def make_reachable(path: Path) -> None:
    """Cover the first directory above `path` that others may not enter by one that holds just the way to it."""
    for above in reversed(path.parents):
        if above.stat().st_mode & 0o001:
            continue
        kept = os.open(path, os.O_PATH | os.O_DIRECTORY)
        syscalls.mount("tmpfs", str(above), "tmpfs", 0, "mode=755")
        path.mkdir(parents=True)
        syscalls.move_mount(syscalls.open_tree("", directory=kept), str(path))
        return


def become_ordinary(directory: Path) -> None:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    for path in (sys.base_prefix, sys.prefix, str(Path(lambdad.__file__).parents[1])):
        make_reachable(Path(path))
    os.chown(directory, USER, USER)
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)


async def check_all(directory: Path) -> dict[str, object]:
    entry = directory / "entry.py"
    entry.write_text(ENTRY)
    prefix = sys.base_prefix
    interpreter = os.path.realpath(sys.executable)
    zygote = ZygoteSpec(name="python", interpreter=interpreter, entry=str(entry), binds=(Bind(prefix, prefix),))
    driver = NativeDriver(directory / "state", zygotes=[zygote])
    await driver.open()
    lab = Lab(driver, directory, zygote="python")
    failures: dict[str, str] = {}
    for check in (*CHECKS, *PROGRAM_CHECKS):
        try:
            await check(lab)
        except Exception:
            failures[check.__name__] = traceback.format_exc()
    await driver.close()
    return {"weaknesses": driver.weaknesses, "failures": failures}


if __name__ == "__main__":
    place = Path(sys.argv[1])
    become_ordinary(place)
    with contextlib.redirect_stdout(sys.stderr):
        report = asyncio.run(check_all(place))
    print(json.dumps(report))
