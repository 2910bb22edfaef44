"""The worker with fake sandboxes: questions in, answers out, nothing left."""

from __future__ import annotations

import asyncio

from tests.unit.worker.worker_world import SPEC, FakeRuntime, World, invocation, payload_of, run

from lambdad.model.environment import Image
from lambdad.sandbox.interface import ExitStatus, SandboxError, StartError
from lambdad.testing.specs import make_spec
from lambdad.testing.waiting import wait_until_async
from lambdad.worker.environment import Phase
from lambdad.worker.environment_driver import ProvisionError
from lambdad.worker.starts import PLACES


def test_an_environment_is_started_and_its_phases_told() -> None:
    async def test(world: World) -> None:
        world.service.start(7, "e1", SPEC)
        from_sandbox = await world.launched.get()
        assert from_sandbox.cpus == 2.0, "the init phase has more than its share"
        await FakeRuntime(from_sandbox).start_next()
        kind, call, timings = await world.caller.next()
        assert (kind, call, set(timings)) == ("started", 7, {"code", "sandbox", "init"})
        assert from_sandbox.cpus == 0.25

    run(test)


def test_an_invocation_goes_through_the_runtime_and_its_log_is_written() -> None:
    async def test(world: World) -> None:
        runtime = await world.idle_environment()
        world.service.invoke(9, "e1", invocation(tail=True))
        assert await runtime.take() == "r1"
        runtime.sandbox.write(b"from the function\nno line end")
        assert await runtime.post("invocation/r1/response", b'"done"') == 202
        kind, call, result = await world.caller.next()
        assert (kind, call, result.payload, result.error) == ("result", 9, b'"done"', None)
        assert result.memory_used_mb == 30
        lines = world.provisioner.records[0].lines
        assert lines[0] == "INIT_START Runtime Version: python:3.11"
        assert lines[1] == "START RequestId: r1 Version: $LATEST"
        assert lines[2:4] == ["from the function", "no line end"]
        assert lines[4] == "END RequestId: r1"
        assert lines[5].startswith("REPORT RequestId: r1\t")
        assert result.log_tail.decode().splitlines()[0] == lines[1]

    run(test)


def test_an_exit_is_answered_and_the_next_invocation_gets_a_new_process_with_the_same_tmp() -> None:
    async def test(world: World) -> None:
        runtime = await world.idle_environment()
        world.service.invoke(2, "e1", invocation())
        await runtime.take()
        runtime.sandbox.exit(ExitStatus(3, None))
        assert payload_of(await world.caller.next())["errorMessage"].endswith("exit status 3")
        world.service.invoke(3, "e1", invocation("r2"))
        second = FakeRuntime(await world.launched.get())
        await second.start_next()
        assert await second.take() == "r2"
        await second.post("invocation/r2/response")
        assert (await world.caller.next())[0] == "result"
        assert len(world.driver.volumes) == 1

    run(test)


def test_an_out_of_memory_kill_is_told_from_another_kill() -> None:
    async def test(world: World) -> None:
        runtime = await world.idle_environment()
        world.service.invoke(2, "e1", invocation())
        await runtime.take()
        runtime.sandbox.exit(ExitStatus(None, 9), oom_kills=1)
        assert payload_of(await world.caller.next())["errorType"] == "Runtime.OutOfMemory"

    run(test)


def test_a_host_that_makes_no_sandbox_fails_the_start() -> None:
    async def test(world: World) -> None:
        world.driver.failures.append(SandboxError("no loop devices left"))
        world.service.start(4, "e1", SPEC)
        assert await world.caller.next() == ("failed", 4, "ServiceException", "no loop devices left")
        world.provisioner.error = ProvisionError("InvalidRuntimeException", "no python4")
        world.service.start(5, "e2", SPEC)
        assert await world.caller.next() == ("failed", 5, "InvalidRuntimeException", "no python4")

    run(test)


def test_a_program_that_cannot_start_is_the_functions_error() -> None:
    async def test(world: World) -> None:
        world.driver.failures += [StartError("Runtime.InvalidEntrypoint", "no bootstrap")] * 2
        world.service.start(4, "e1", SPEC)
        assert (await world.caller.next())[0] == "started"
        world.service.invoke(5, "e1", invocation())
        answer = payload_of(await world.caller.next())
        assert answer == {"errorType": "Runtime.InvalidEntrypoint", "errorMessage": "RequestId: r1 Error: no bootstrap"}

    run(test)


def test_an_invocation_for_an_environment_that_is_gone_is_refused() -> None:
    async def test(world: World) -> None:
        world.service.invoke(2, "e9", invocation())
        kind, call, code, _ = await world.caller.next()
        assert (kind, call, code) == ("failed", 2, "SandboxGone")

    run(test)


def test_idle_environments_are_frozen_late_and_thawed_for_work() -> None:
    async def test(world: World) -> None:
        runtime = await world.idle_environment()
        now = asyncio.get_running_loop().time()
        world.service.tick(now - 3600)
        assert not runtime.sandbox.frozen
        world.service.tick(now + 3600)
        assert runtime.sandbox.frozen
        world.service.invoke(2, "e1", invocation())
        assert not runtime.sandbox.frozen
        await runtime.take()
        await runtime.post("invocation/r1/response")
        assert (await world.caller.next())[0] == "result"

    run(test, freeze_after=10.0, keep_alive=1e9)


def test_idle_environments_end_after_the_keep_alive_and_under_memory_pressure() -> None:
    async def test(world: World) -> None:
        now = asyncio.get_running_loop().time()
        await world.idle_environment("old")
        for _ in range(10):
            world.service.tick(now + 3600)
        assert await world.caller.next() == ("gone", "old")
        await world.idle_environment("pressed")
        world.memory_available = 0
        for _ in range(10):
            world.service.tick(now)
        assert await world.caller.next() == ("gone", "pressed")

    run(test, keep_alive=600.0, memory_reserve=1)


def test_a_caller_that_leaves_takes_its_environments_along() -> None:
    async def test(world: World) -> None:
        await world.idle_environment()
        world.service.detach(world.caller)
        await world.service.drained()
        assert world.service.counts() == {}

    run(test)


def test_environments_of_images_end_with_the_disk_of_images_and_others_stay() -> None:
    async def test(world: World) -> None:
        await world.idle_environment()
        image = Image(uri="i", resolved_uri="i", manifest_sha256="0" * 64)
        await world.idle_environment("e2", make_spec(runtime=None, image=image))
        world.service.stop_images()
        assert await world.caller.next() == ("gone", "e2")
        assert world.service.counts() == {"idle": 1}

    run(test)


def test_who_waits_for_an_environment_whose_image_is_lost_is_told() -> None:
    async def test(world: World) -> None:
        image = Image(uri="i", resolved_uri="i", manifest_sha256="0" * 64)
        world.service.start(7, "e1", make_spec(runtime=None, image=image))
        await world.launched.get()
        world.service.stop_images()
        assert await world.caller.next() == ("gone", "e1")
        assert (await world.caller.next())[:3] == ("failed", 7, "ServiceException")

    run(test)


def test_stopping_while_it_starts_leaves_nothing() -> None:
    async def test(world: World) -> None:
        world.service.start(1, "e1", SPEC)
        world.service.stop("e1")
        await world.service.drained()
        assert world.service.counts() == {}

    run(test)


def test_counts_tell_the_phases() -> None:
    async def test(world: World) -> None:
        await world.idle_environment()
        assert world.service.counts() == {Phase.IDLE.value: 1}

    run(test)


def test_preparing_says_what_is_wrong() -> None:
    async def test(world: World) -> None:
        world.service.prepare(1, "python3.11", ())
        world.service.prepare(2, "missing", ())
        assert await world.caller.next() == ("prepared", 1, None)
        assert await world.caller.next() == ("prepared", 2, "there is no such runtime")

    run(test)


def test_a_flood_of_output_is_read_a_window_at_a_time() -> None:
    async def test(world: World) -> None:
        runtime = await world.idle_environment()
        world.service.invoke(2, "e1", invocation())
        await runtime.take()
        loop = asyncio.get_running_loop()
        flood = loop.run_in_executor(None, runtime.sandbox.write, b"x" * 65_535 + b"\n")
        for _ in range(40):
            await flood
            world.service.tick(loop.time())
            flood = loop.run_in_executor(None, runtime.sandbox.write, b"y" * 65_535 + b"\n")
        await flood
        await runtime.post("invocation/r1/response")
        assert (await world.caller.next())[0] == "result"

    run(test)


PROVISIONED = make_spec(timeout_s=30, initialization_type="provisioned-concurrency")


def test_provisioned_environments_stay_however_long_they_are_idle_and_however_little_memory_there_is() -> None:
    async def test(world: World) -> None:
        now = asyncio.get_running_loop().time()
        await world.idle_environment("kept", PROVISIONED)
        await world.idle_environment("other")
        world.memory_available = 0
        for _ in range(10):
            world.service.tick(now + 3600)
        assert await world.caller.next() == ("gone", "other")
        assert sum(world.service.counts().values()) == 1

    run(test, keep_alive=600.0, memory_reserve=1)


def test_a_provisioned_environment_whose_process_died_is_given_up() -> None:
    async def test(world: World) -> None:
        runtime = await world.idle_environment("worn", PROVISIONED)
        runtime.sandbox.exit(ExitStatus(1, None))
        await wait_until_async(lambda: "idle" not in world.service.counts(), "the exit is heard")
        now = asyncio.get_running_loop().time()
        for _ in range(10):
            world.service.tick(now + 3600)
        assert await world.caller.next() == ("gone", "worn")

    run(test)


AHEAD = make_spec(timeout_s=30, ahead=True)


def test_what_is_initialised_ahead_does_not_grow_old_before_its_first_call_and_makes_way_for_memory() -> None:
    async def test(world: World) -> None:
        now = asyncio.get_running_loop().time()
        await world.idle_environment("ahead", AHEAD)
        for _ in range(10):
            world.service.tick(now + 360_000)
        assert sum(world.service.counts().values()) == 1
        world.memory_available = 0
        for _ in range(10):
            world.service.tick(now)
        assert await world.caller.next() == ("gone", "ahead")

    run(test, keep_alive=600.0, memory_reserve=1)


def test_the_report_of_what_was_initialised_ahead_has_no_init_and_the_log_says_how_it_began() -> None:
    async def test(world: World) -> None:
        runtime = await world.idle_environment("e1", AHEAD)
        world.service.invoke(2, "e1", invocation(tail=True))
        await runtime.take()
        await runtime.post("invocation/r1/response")
        result = (await world.caller.next())[2]
        assert "Init Duration" not in result.log_tail.decode()
        assert any(line.startswith("INIT_REPORT Init Duration") for line in world.provisioner.records[0].lines)

    run(test)


def test_the_report_of_a_provisioned_environment_has_no_init_but_its_log_has() -> None:
    async def test(world: World) -> None:
        runtime = await world.idle_environment("e1", PROVISIONED)
        world.service.invoke(2, "e1", invocation(tail=True))
        await runtime.take()
        await runtime.post("invocation/r1/response")
        result = (await world.caller.next())[2]
        assert "Init Duration" not in result.log_tail.decode()
        assert any(line.startswith("REPORT ") for line in result.log_tail.decode().splitlines())

    run(test)


def test_an_init_phase_has_as_long_as_the_node_gives_it() -> None:
    async def test(world: World) -> None:
        assert world.service.init_budget(SPEC) == 7.5
        assert world.service.init_budget(PROVISIONED) == 130.0

    run(test, init_timeout=7.5)


def test_a_flood_of_starts_of_one_function_lets_another_through() -> None:
    async def test(world: World) -> None:
        for number in range(PLACES + 10):
            world.service.start(number, f"f{number}", SPEC)
        world.service.start(99, "g", make_spec(function_name="g", timeout_s=30))
        counts = world.service.counts()
        assert counts == {"starting": PLACES + 1, "new": 10}

    run(test)
