"""How a sandbox ends that nobody wants any more."""

from __future__ import annotations

import asyncio

from lambdad.runtime_api.server import LIMITS
from lambdad.sandbox.interface import SandboxError
from lambdad.sandbox.spec import Exec, SandboxSpec
from lambdad.testing.fake_sandbox import FakeSandbox
from lambdad.wire.server import HttpServer
from lambdad.worker.environment import Reason
from lambdad.worker.output import OutputReader
from lambdad.worker.remains import Remains

SPEC = SandboxSpec(start=Exec(("/bin/true",)), memory_bytes=1, cpus=1.0, pids=1, files=1)


class Stubborn(FakeSandbox):
    async def destroy(self) -> None:
        await super().destroy()
        raise SandboxError("it holds on")


def test_what_was_written_is_taken_and_what_is_left_is_told() -> None:
    async def main() -> None:
        for kind, expected in ((FakeSandbox, ""), (Stubborn, "it holds on")):
            sandbox = kind("s", SPEC)
            got = bytearray()
            loop = asyncio.get_running_loop()
            server = HttpServer(lambda request, responder: None, LIMITS, loop)
            remains = Remains(sandbox, server, OutputReader(loop, sandbox.output, got.extend), None)
            sandbox.write(b"last words")
            remains.give_up()
            assert await remains.bury(Reason.SPINDOWN) == expected
            assert (bytes(got), sandbox.destroyed) == (b"last words", True)

    asyncio.run(main())
