"""A sandbox that its environment has given up: how it ends, and in which order what belongs to it is let go."""

from __future__ import annotations

from dataclasses import dataclass

from lambdad.sandbox.interface import Sandbox, SandboxError
from lambdad.wire.server import HttpServer
from lambdad.worker.environment import Reason
from lambdad.worker.extension_host import ExtensionHost
from lambdad.worker.output import OutputReader


@dataclass(frozen=True, slots=True)
class Remains:
    """Made when the sandbox is given up: nothing that it says is heard by its environment any more.

    extensions: None if there are none, and then it ends at once.
    """

    sandbox: Sandbox
    server: HttpServer
    output: OutputReader
    extensions: ExtensionHost | None

    def give_up(self) -> None:
        """Take what was written until now; whoever has extensions is still served until they are gone."""
        self.output.drain()
        if self.extensions is None:
            self._let_go()
        else:
            self.extensions.give_up()

    async def bury(self, reason: Reason) -> str:
        """End everything inside. Returns what is left of it on the host, in words; nothing, if all is well."""
        if self.extensions is not None:
            try:
                await self.extensions.shut_down(reason)
            finally:
                self._let_go()
                self.extensions.close()
        return await destroy(self.sandbox)

    def _let_go(self) -> None:
        self.server.abort()
        self.output.stop()


async def destroy(sandbox: Sandbox) -> str:
    """As `Remains.bury`, of a sandbox that nobody has served yet."""
    try:
        await sandbox.destroy()
    except (SandboxError, OSError) as error:
        return str(error)
    return ""
