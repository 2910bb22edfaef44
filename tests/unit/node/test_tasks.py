"""Background tasks."""

from __future__ import annotations

import asyncio
import io

from lambdad.node.tasks import Tasks
from lambdad.telemetry.log import configure, silent


def test_a_task_that_fails_is_logged_and_the_others_go_on() -> None:
    stream = io.StringIO()

    async def fail() -> None:
        raise ValueError("broken")

    async def main() -> list[str]:
        finished: list[str] = []

        async def work() -> None:
            await asyncio.sleep(0)
            finished.append("done")

        done = asyncio.Event()

        async def last() -> None:
            done.set()

        async with Tasks(configure("info", as_json=True, name="test", stream=stream)) as tasks:
            tasks.spawn(fail())
            tasks.spawn(work())
            await asyncio.sleep(0)
            tasks.spawn(last())
            await done.wait()
        return finished

    assert asyncio.run(main()) == ["done"]
    assert "ValueError: broken" in stream.getvalue()


def test_what_is_repeated_goes_on_after_it_failed() -> None:
    stream = io.StringIO()
    turns: list[int] = []

    async def main() -> None:
        third = asyncio.Event()

        async def work() -> None:
            turns.append(len(turns))
            if len(turns) == 1:
                raise OSError("the disk is full")
            if len(turns) == 3:
                third.set()

        async with Tasks(configure("info", as_json=True, name="test", stream=stream)) as tasks:
            tasks.repeat(work, 0.0, delay=0.0)
            async with asyncio.timeout(60):
                await third.wait()

    asyncio.run(main())
    assert turns[:3] == [0, 1, 2]
    assert stream.getvalue().count("the disk is full") == 1


def test_leaving_the_group_cancels_what_runs() -> None:
    cancelled: list[bool] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main() -> None:
        async with Tasks(silent()) as tasks:
            tasks.spawn(forever())
            await asyncio.sleep(0)

    asyncio.run(main())
    assert cancelled == [True]
