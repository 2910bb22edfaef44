"""Warm latency with one client, and throughput: lambdad, the bare loop and AWS's emulator in turns."""

from __future__ import annotations

from contextlib import ExitStack

from bench import functions, load, rie
from bench.bare_loop import BareLoop, LoopSamples
from bench.figures import AtLeast, AtMost, Measurement, Row, percentile
from bench.raw_http import INVOKE, build_request, measure_latency
from bench.setup import Setup

NAME = "echo"
PATH = INVOKE.format(name=NAME)
CLIENTS = 8
_WARM_UP = 0.3


def measure_warm(setup: Setup) -> Measurement:
    """Milliseconds that one client waits; what lambdad adds to the runtime loop."""
    request = build_request(PATH, functions.EVENT)
    bare_samples = LoopSamples()
    ours: list[float] = []
    emulated: list[float] = []
    with ExitStack() as stack:
        code = functions.write_code(setup.directory / "echo-code", functions.ECHO)
        bare = stack.enter_context(BareLoop(code, functions.HANDLER, 1, functions.EVENT))
        node = stack.enter_context(setup.node("warm"))
        functions.create_function(node, NAME, functions.ECHO, functions.ONE_CPU_MB)
        binary = rie.find_binary()
        emulator = stack.enter_context(rie.Emulator(binary, code, functions.HANDLER)) if binary else None
        for _ in range(setup.effort.rounds):
            bare.run(_WARM_UP)
            bare_samples.extend(bare.run(setup.effort.seconds))
            measure_latency(node.port, request, _WARM_UP)
            ours += measure_latency(node.port, request, setup.effort.seconds)
            if emulator is not None:
                measure_latency(emulator.port, rie.REQUEST, _WARM_UP)
                emulated += measure_latency(emulator.port, rie.REQUEST, setup.effort.seconds)
    floor = percentile(bare_samples.periods, 50)
    rows = [
        Row("bare loop, one process: p50 from one response to the next", floor, "ms"),
        Row("bare loop: p50 from event to response", percentile(bare_samples.handovers, 50), "ms"),
        Row("lambdad: p50", percentile(ours, 50), "ms"),
        Row("lambdad: p50 over the bare loop", percentile(ours, 50) - floor, "ms", AtMost(0.5)),
        Row("lambdad: p90", percentile(ours, 90), "ms"),
        Row("lambdad: p99", percentile(ours, 99), "ms", AtMost(3.0)),
    ]
    samples = {"bare loop": bare_samples.periods, "lambdad": ours}
    if emulated:
        rows += [Row(f"AWS's emulator: p{share}", percentile(emulated, share), "ms") for share in (50, 99)]
        samples["AWS's emulator"] = emulated
    return Measurement(name="warm", rows=tuple(rows), samples=samples, notes=_notes(bool(emulated)))


def measure_throughput(setup: Setup) -> Measurement:
    """Invocations a second."""
    one, two = LoopSamples(), LoopSamples()
    ours: list[float] = []
    emulated: list[float] = []
    seconds = setup.effort.seconds
    with ExitStack() as stack:
        code = functions.write_code(setup.directory / "echo-code", functions.ECHO)
        single = stack.enter_context(BareLoop(code, functions.HANDLER, 1, functions.EVENT))
        double = stack.enter_context(BareLoop(code, functions.HANDLER, 2, functions.EVENT))
        node = stack.enter_context(setup.node("throughput"))
        functions.create_function(node, NAME, functions.ECHO, functions.ONE_CPU_MB)
        binary = rie.find_binary()
        emulator = stack.enter_context(rie.Emulator(binary, code, functions.HANDLER)) if binary else None
        load.measure_rate(node.port, PATH, functions.EVENT, CLIENTS, 1.0)
        for _ in range(setup.effort.rounds):
            one.extend(single.run(seconds))
            two.extend(double.run(seconds))
            ours.append(load.measure_rate(node.port, PATH, functions.EVENT, CLIENTS, seconds))
            if emulator is not None:
                # One connection: with eight it stops answering.
                answers = measure_latency(emulator.port, rie.REQUEST, seconds)
                emulated.append(1000 * len(answers) / sum(answers))
    rate = percentile(ours, 50)
    rows = [
        Row("bare loop, one process", one.rate, "/s"),
        Row("bare loop, two processes", two.rate, "/s"),
        Row(f"lambdad, {CLIENTS} clients: median of the rounds", rate, "/s"),
        Row("lambdad / bare loop with two processes", rate / two.rate, "x", AtLeast(0.5)),
    ]
    if emulated:
        best = max(emulated)
        rows.append(Row("AWS's emulator at its best, one client", best, "/s"))
        rows.append(Row("lambdad / AWS's emulator", rate / best, "x", AtLeast(1.0)))
    notes = (f"Load on lambdad by {load.describe_tool()}.", *_notes(bool(emulated)))
    return Measurement(name="throughput", rows=tuple(rows), samples={"lambdad": ours}, notes=notes)


def _notes(emulated: bool) -> tuple[str, ...]:
    return (
        () if emulated else ("AWS's emulator was skipped: the `aws-sam-cli` wheel that holds it could not be fetched.",)
    )
