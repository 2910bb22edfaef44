"""A further program of a cell: a child of process 1 that gives up what process 1 has left, and becomes the program."""

# `typing` is not worth its memory here.
# mypy: allow-any-generics, allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os

from lambdad.sandbox.inside.calls import (
    OOM_SCORE,
    PR_SET_DUMPABLE,
    RLIMIT_CORE,
    RLIMIT_DATA,
    RLIMIT_NOFILE,
    RLIMIT_NPROC,
    check,
    keep_only,
    libc,
    set_capabilities,
    set_limit,
    write_file,
)


def run_program(output: int, status: int, orders: dict) -> None:
    """Become the program that `orders` name. Does not return.

    Process 1 is in the runtime process's namespaces, groups and filter already, so this is, too. What remains is to
    become the function's user, without the capabilities that process 1 keeps. status: said there if it fails.
    """
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        keep_only([0, 1, 2, status])
        os.setsid()
        set_limit(RLIMIT_CORE, 0)
        set_limit(RLIMIT_NOFILE, orders["files"])
        if orders["data"]:
            set_limit(RLIMIT_DATA, orders["data"])
        set_limit(RLIMIT_NPROC, orders["pids"])
        user, group = orders["ids"]
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)
        set_capabilities(0)
        check(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "dumpable")
        write_file("/proc/self/oom_score_adj", OOM_SCORE)
        os.chdir("/")
        for number in range(1, 65):
            if number not in (_signal.SIGKILL, _signal.SIGSTOP, 32, 33):
                _signal.signal(number, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
        execute(orders["argv"], orders["environment"], status)
    except BaseException as error:
        os.write(status, f"- {type(error).__name__}: {error}".encode(errors="replace")[:4096])
    os._exit(1)


def execute(argv: list[str], environment: dict[str, str], status: int) -> None:
    """Returns only if the program cannot be executed, and says why."""
    try:
        os.execve(argv[0], argv, environment)
    except OSError as error:
        kind = b"PermissionDenied" if isinstance(error, PermissionError) else b"UnknownError"
        why = (error.strerror or "").lower()
    text = f" fork/exec {argv[0]}: {why}".encode(errors="replace")
    os.write(status, kind + text[:4096])
