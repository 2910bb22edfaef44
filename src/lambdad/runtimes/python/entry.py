"""Starts AWS's Python client in a sandbox: by fork from a zygote (`preload`, then `run`), or as a program.

It is installed as /var/runtime/bootstrap.py and runs under the function's interpreter, CPython 3.9 or later. What a
handler can see (`sys.path`, `sys.argv`, the environment, logging, random numbers) is the same on both ways, and as
on AWS. The client reads its settings from the environment when it is imported, so a fork sets them anew.

What AWS lacks: a handler that is a generator, or an async generator, streams its response. It yields str and bytes;
the first thing that it yields may be a dict of `statusCode`, `headers` and `cookies`, for function URLs. An error
before the first piece is an ordinary one.

What a fork cannot undo: hash randomisation and address layout are the zygote's, and the dynamic linker keeps the
LD_LIBRARY_PATH of the zygote. `lambdad.runtimes.start` therefore boots functions that need their own.
"""

from __future__ import annotations

import _imp
import atexit
import base64
import gc
import importlib
import io
import json
import locale
import logging
import os
import random
import signal
import site
import sys
import threading
import time
import traceback
import types
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import simplejson  # type: ignore[import-untyped]
from awslambdaric import bootstrap, lambda_config, lambda_runtime_client, lambda_runtime_marshaller

if TYPE_CHECKING:
    import asyncio

_MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
RUNTIME_DIRECTORY = "/var/runtime"
LANGUAGE_DIRECTORY = "/var/lang"
_HERE = os.path.dirname(os.path.realpath(__file__))
_kept: list[object] = []

_PRELOADED = (
    "awslambdaric.lambda_literals",
    "base64",
    "collections.abc",
    "concurrent.futures.thread",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "email.message",
    "email.parser",
    "enum",
    "functools",
    "hashlib",
    "hmac",
    "html",
    "http.client",
    "inspect",
    "json",
    "pathlib",
    "queue",
    "shutil",
    "socket",
    "ssl",
    "string",
    "subprocess",
    "tempfile",
    "typing",
    "urllib.parse",
    "urllib.request",
    "uuid",
    "zlib",
)


def preload() -> None:
    """Load what nearly every handler imports, in the zygote; nothing of any function. The client is there by now."""
    for name in _PRELOADED:
        importlib.import_module(name)
    _warm()
    _relocate_modules(_runtime_directory())
    library = os.path.dirname(os.__file__)
    _relocate_code({_HERE: _runtime_directory(), library: library.replace(sys.base_prefix, LANGUAGE_DIRECTORY, 1)})
    sys.path_importer_cache.clear()
    gc.collect()
    gc.freeze()


def run() -> NoReturn:
    """Be the runtime process of one sandbox, in a fork of the zygote. Ends the process."""
    code = 1
    try:
        _forget_the_zygote()
        _main()
        code = 0
    except SystemExit as leaving:
        code = _exit_code(leaving)
    except BaseException:
        traceback.print_exc()
    finally:
        _leave(code)


def _main() -> None:
    """What `python -m awslambdaric HANDLER` does, but that our client needs no second thread to see signals."""
    sys.argv = [f"{_runtime_directory()}/bootstrap.py"]
    sys.path[:] = search_path(sys.path, os.environ)
    _finish_the_interpreter()
    config = lambda_config.LambdaConfigProvider(["", os.environ.get("_HANDLER", "")])
    if config.is_multi_concurrent:
        importlib.import_module("awslambdaric.__main__").main(["", config.handler])
        return
    lambda_runtime_client.BaseLambdaRuntimeClient.marshaller = _make_marshaller()
    if "_LAMBDAD_SNAPSHOT" in os.environ:
        snapshot = importlib.import_module("lambdad_snapshot")
        _Client.snapshot, _Client.channel = snapshot, snapshot.find_channel()
    client = _Client(config.api_address, use_thread_for_polling_next=False)
    bootstrap.run(config.handler, client)


def search_path(current: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """`sys.path` as AWS has it: the function, its layers, the client, the standard library.

    The interpreter's own site-packages is left out: on this host it may hold anything, on AWS it holds nothing.
    """
    task = environment.get("LAMBDA_TASK_ROOT", "/var/task")
    layers = (f"/opt/python/lib/python{_MINOR}/site-packages", "/opt/python")
    chosen = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    library = [entry for entry in current if _is_library(entry)]
    return list(dict.fromkeys((task, *layers, *chosen, _runtime_directory(), *library)))


def _is_library(entry: str) -> bool:
    """Whether a `sys.path` entry belongs to the standard library."""
    names = (f"python{_MINOR}", f"python{_MINOR.replace('.', '')}.zip", "lib-dynload")
    return entry.startswith(f"{sys.base_prefix}/") and os.path.basename(entry) in names


def _runtime_directory() -> str:
    return os.environ.get("LAMBDA_RUNTIME_DIR", RUNTIME_DIRECTORY)


def _finish_the_interpreter() -> None:
    """What start-up leaves to `site`, which was switched off for the host's packages: `exit`, and a layer's own code.

    On AWS a layer's `sitecustomize` runs: /opt/python is on the path there by the time of it.
    """
    site.setquit()
    site.setcopyright()
    site.sethelper()
    sys.modules.pop("sitecustomize", None)
    site.execsitecustomize()


class _Pieces:
    """A response that comes in pieces, its first one already there: what goes wrong before it is no stream's error."""

    def __init__(self, iterator: Iterator[object]) -> None:
        self.content_type = "application/octet-stream"
        self._iterator = iterator
        self._first = b""
        first = next(iterator, b"")
        if isinstance(first, dict):
            self.content_type = "application/vnd.awslambda.http-integration-response"
            self._first = json.dumps(first).encode() + bytes(8)
        else:
            if isinstance(first, str):
                self.content_type = "text/plain; charset=utf-8"
            self._first = _piece(first)

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        yield from map(_piece, self._iterator)


def _piece(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"a handler that streams must yield str or bytes, not {type(value).__name__}")


_loop: list[asyncio.AbstractEventLoop] = []
"""The loop of async generators, made by the first: what a handler keeps between invocations stays usable."""


def _drive(generator: AsyncGenerator[object, None]) -> Iterator[object]:
    """The values of an async generator."""
    if not _loop:
        _loop.append(importlib.import_module("asyncio").new_event_loop())
    while True:
        try:
            value = _loop[0].run_until_complete(generator.__anext__())
        except StopAsyncIteration:
            return
        yield value


class _Marshaller(lambda_runtime_marshaller.LambdaMarshaller):  # type: ignore[misc]
    """The client's own, but generators are responses in pieces."""

    def marshal_response(self, response: object) -> tuple[object, str]:
        if isinstance(response, types.AsyncGeneratorType):
            response = _drive(response)
        if isinstance(response, types.GeneratorType):
            pieces = _Pieces(response)
            return pieces, pieces.content_type
        marshalled: tuple[object, str] = super().marshal_response(response)
        return marshalled


class _Client(lambda_runtime_client.LambdaRuntimeClient):  # type: ignore[misc]
    """The client's own, which can also send a response in pieces, and be forked from when it is initialised."""

    snapshot: Any = None
    channel: Any = None

    def restore_next(self) -> None:
        """Called between the hooks before the snapshot and those after a restore: returns in each restored fork."""
        if self.channel is None:
            super().restore_next()
        else:
            channel, type(self).channel = self.channel, None
            self.snapshot.wait_and_fork(channel)

    def post_invocation_result(
        self, invoke_id: str, result_data: object, content_type: str = "application/json", invocation_id: object = None
    ) -> None:
        if isinstance(result_data, _Pieces):
            transport = lambda_runtime_client.runtime_client
            pieces = _failing(result_data, invoke_id, transport.StreamFailed)
            transport.post_invocation_stream(invoke_id, pieces, content_type, invocation_id)
        else:
            super().post_invocation_result(invoke_id, result_data, content_type, invocation_id)


def _failing(pieces: Iterable[bytes], invoke_id: str, failure: type[Exception]) -> Iterator[bytes]:
    """The pieces; an exception of the handler becomes `failure`, logged as the client logs every error."""
    try:
        yield from pieces
    except Exception as error:
        ours = _failing.__code__.co_filename
        frames = [frame for frame in bootstrap.extract_traceback(error.__traceback__) if frame[0] != ours]
        kind = type(error).__name__
        result = bootstrap.make_error(str(error), kind, traceback.format_list(frames), invoke_id)
        with bootstrap.create_log_sink() as sink:
            bootstrap.log_error(result, sink)
        body = base64.b64encode(lambda_runtime_marshaller.to_json(result).encode())
        raise failure(kind, body.decode()) from None


class _QuickMarshaller(_Marshaller):
    """The client's own, where `simplejson` has no C code for this interpreter: events are read by the standard library.

    The two differ in what is no JSON only, and the platform lets no such event through.
    """

    def unmarshal_request(self, request: bytes, content_type: str = "application/json") -> object:
        if content_type != "application/json":
            return request
        try:
            return json.loads(request)
        except ValueError:
            return super().unmarshal_request(request, content_type)


def _make_marshaller() -> lambda_runtime_marshaller.LambdaMarshaller:
    """A marshaller that has read this process's environment; in a fork the one of the import has not."""
    if simplejson.encoder.c_make_encoder is not None:
        return _Marshaller()
    simplejson.encoder.encode_basestring_ascii = json.encoder.encode_basestring_ascii
    return _QuickMarshaller()


def _warm() -> None:
    """Fill the caches that a first invocation would: regular expressions, encoders, codecs, the error path."""
    marshaller = _make_marshaller()
    marshaller.marshal_response(marshaller.unmarshal_request(b'{"a": [1, 2.5, "\\u00e9", null]}'))
    "".encode("idna")
    try:
        raise ValueError("warm")
    except ValueError:
        traceback.format_exc()


def _forget_the_zygote() -> None:
    """Make this process as if it had just been executed with its present environment."""
    _reset_signals()
    _reset_randomness()
    _reset_time_and_place()
    _reset_standard_streams()
    _reset_logging()
    _reset_modules()
    _reset_installation(LANGUAGE_DIRECTORY)
    _reset_client()


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _reset_randomness() -> None:
    """No two sandboxes may draw the same numbers or names.

    OpenSSL needs nothing: it has drawn nothing in the zygote, and it seeds itself when it first does.
    """
    random.seed()
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile.tempdir = None  # type: ignore[attr-defined]
        tempfile._name_sequence = None  # type: ignore[attr-defined]
    uuid = sys.modules.get("uuid")
    if uuid is not None:
        uuid._node = None  # type: ignore[attr-defined]
        uuid._last_timestamp = None  # type: ignore[attr-defined]


def _reset_time_and_place() -> None:
    time.tzset()
    try:
        locale.setlocale(locale.LC_CTYPE, "")
    except locale.Error:
        locale.setlocale(locale.LC_CTYPE, "C")


def _reset_standard_streams() -> None:
    """New objects: the zygote's may hold text of its own, which would be written when they go, so they never go."""
    _kept.extend((sys.stdin, sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__))
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    for number, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        raw = open(number, "wb", buffering=0, closefd=False)  # noqa: SIM115
        binary = raw if unbuffered else io.BufferedWriter(raw)
        stream = io.TextIOWrapper(
            binary,
            encoding="utf-8",
            errors=errors,
            line_buffering=number == 2,
            write_through=unbuffered,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115


def _reset_logging() -> None:
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.setLevel(logging.WARNING)
    logging.disable(logging.NOTSET)


def _reset_modules() -> None:
    """Give this process a `__main__` of its own."""
    main = types.ModuleType("__main__")
    main.__file__ = f"{_runtime_directory()}/bootstrap.py"
    sys.modules["__main__"] = main
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))


def _relocate_modules(directory: str) -> None:
    """Say of all modules of the client that they come from where sandboxes have them.

    Done in the zygote: it touches every module, and what a fork touches is no longer shared.
    """
    for module in list(sys.modules.values()):
        _relocate(module, directory)


def _relocate_code(places: Mapping[str, str]) -> None:
    """Say of the functions that the zygote loaded that their files are where sandboxes have them, for tracebacks.

    places: from directories of the host to those of sandboxes. Done in the zygote, as `_relocate_modules` is.
    """
    files: dict[str, str] = {}
    for thing in gc.get_objects():
        if type(thing) is types.FunctionType:
            file = thing.__code__.co_filename
            if file not in files:
                old = next((place for place in places if file.startswith(place + os.sep)), "")
                files[file] = places[old] + file[len(old) :] if old else file
            _imp._fix_co_filename(thing.__code__, files[file])  # type: ignore[attr-defined]
    # By it logging tells its own frames from those of its callers.
    logging._srcfile = logging.addLevelName.__code__.co_filename


def _relocate(module: types.ModuleType, directory: str) -> None:
    """A module that the zygote loaded from the host's directory is, in the sandbox, in /var/runtime."""
    spec = getattr(module, "__spec__", None)
    origin = getattr(spec, "origin", None)
    if spec is None or not isinstance(origin, str) or not origin.startswith(_HERE + os.sep):
        return
    spec.origin = module.__file__ = directory + origin[len(_HERE) :]
    if spec.loader is not None and hasattr(spec.loader, "path"):
        spec.loader.path = spec.origin
    if spec.submodule_search_locations is not None:
        package = os.path.dirname(spec.origin)
        spec.submodule_search_locations[:] = [package]
        module.__path__ = [package]


def _reset_installation(language: str) -> None:
    """Name the interpreter's files as a booted process does, by the directory that every sandbox has them in."""
    old = sys.base_prefix
    library = os.path.dirname(os.__file__)
    inside = library.replace(old, language, 1)
    if not os.path.isdir(inside) or not os.path.samefile(inside, library):  # noqa: PTH112, PTH121
        return
    sys.prefix = sys.base_prefix = sys.exec_prefix = sys.base_exec_prefix = language
    sys.executable = f"{language}/bin/python{_MINOR}"
    sys.path[:] = [entry.replace(old, language, 1) if entry.startswith(f"{old}/") else entry for entry in sys.path]


def _reset_client() -> None:
    """The client read the zygote's environment when it was imported; let it read this one's."""
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") or os.environ.get("AWS_LAMBDA_LOG_LEVEL"):
        importlib.reload(bootstrap)


def _exit_code(leaving: SystemExit) -> int:
    """As the interpreter does it: None is 0, a number is itself, anything else is printed and is 1."""
    if leaving.code is None:
        return 0
    if isinstance(leaving.code, int):
        return leaving.code & 0xFF
    print(leaving.code, file=sys.stderr)  # noqa: T201
    return 1


def _leave(code: int) -> NoReturn:
    """End the process as the interpreter would, without returning into the zygote's stack."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _main()
