"""The life of an execution environment, event by event."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.limits import INIT_TIMEOUT_S, PAYLOAD_RESPONSE_MAX, STREAM_RESPONSE_MAX
from lambdad.worker.environment import CUT_GRACE_S, Environment, Phase, Reason
from lambdad.worker.faults import Fault
from lambdad.worker.outcome import Done, Summary

EXIT = {"clean": False, "description": "exit status 1", "out_of_memory": False}


def invocation(request_id: str = "r1", *, streaming: bool = False) -> Invocation:
    return Invocation(request_id=request_id, payload=b"{}", invoked_arn="arn", streaming=streaming)


class Recorder:
    """Effects that are only written down."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.replies: list[tuple[str, InvocationResult]] = []
        self.reports: list[tuple[str, float, float | None, Fault | None]] = []
        self.init_reports: list[tuple[str, str, str]] = []
        self.timer: float | None = None
        self.taken = True
        self.announced: list[float | None] = []
        self.pieces: list[bytes] = []
        self.reasons: list[Reason] = []
        self.extensions = False
        self.busy = False
        """Whether runtime or extensions have not asked for the next invocation yet."""
        self.freed = 0
        self.done: list[str] = []
        self.ends: list[Done] = []

    def launch(self) -> None:
        self.calls.append("launch")

    def has_extensions(self) -> bool:
        return self.extensions

    def is_settled(self) -> bool:
        return not self.busy

    def kill(self, reason: Reason) -> None:
        self.calls.append("kill")
        self.reasons.append(reason)

    def announce(self, init_ms: float | None) -> None:
        self.announced.append(init_ms)

    def refuse(self, code: str, message: str) -> None:
        self.calls.append(f"refuse {code}")

    def deliver(self, invocation: Invocation, remaining_s: float) -> None:
        self.calls.append(f"deliver {invocation.request_id} {remaining_s:g}")

    def has_taken(self) -> bool:
        return self.taken

    def reply(self, request_id: str, result: InvocationResult) -> None:
        self.replies.append((request_id, result))

    def free(self, extensions_ms: float) -> None:
        self.freed += 1

    def open_stream(self, content_type: str) -> None:
        self.calls.append(f"open {content_type}")

    def send_piece(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def set_timer(self, seconds: float) -> None:
        self.timer = seconds

    def clear_timer(self) -> None:
        self.timer = None

    def log_start(self, invocation: Invocation) -> None:
        pass

    def log_done(self, invocation: Invocation, done: Done) -> None:
        self.done.append(invocation.request_id)
        self.ends.append(done)

    def log_report(self, invocation: Invocation, summary: Summary) -> None:
        self.reports.append((invocation.request_id, summary.duration_ms, summary.init_ms, summary.fault))

    def log_init_done(self, phase: str, duration_ms: float, status: str, error_type: str) -> None:
        if status != "success":
            self.init_reports.append((phase, status, error_type))

    def log_tail(self) -> bytes:
        return b""

    def memory_used_mb(self) -> int:
        return 1

    def gone(self) -> None:
        self.calls.append("gone")


def ready_environment(timeout_s: float = 3.0) -> tuple[Environment, Recorder]:
    effects = Recorder()
    environment = Environment(timeout_s, effects)
    environment.start(0.0)
    environment.launched(0.1)
    environment.ready(0.2)
    return environment, effects


def test_an_environment_is_announced_when_its_runtime_asks_for_work() -> None:
    environment, effects = ready_environment()
    assert effects.calls == ["launch"]
    assert [round(ms or 0) for ms in effects.announced] == [100]
    assert environment.phase is Phase.IDLE
    assert effects.timer is None


def test_an_invocation_is_delivered_and_its_answer_returned() -> None:
    environment, effects = ready_environment()
    environment.invoke(1.0, invocation())
    assert effects.calls[-1] == "deliver r1 3"
    assert effects.timer == 3.0
    environment.responded(1.25, b'"ok"')
    [(request_id, result)] = effects.replies
    assert (request_id, result.payload, result.error) == ("r1", b'"ok"', None)
    assert result.timings == {"duration": 250.0}
    assert effects.timer is None


def test_the_first_report_tells_the_init_duration_and_no_later_one_does() -> None:
    environment, effects = ready_environment()
    for request in ("r1", "r2"):
        environment.invoke(1.0, invocation(request))
        environment.responded(1.0, b"null")
    assert [report[2] is not None for report in effects.reports] == [True, False]


def test_a_timeout_kills_the_process_and_keeps_the_environment() -> None:
    environment, effects = ready_environment()
    environment.invoke(1.0, invocation())
    environment.timer(4.0)
    result = effects.replies[0][1]
    assert json.loads(result.payload) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "RequestId: r1 Error: Task timed out after 3.00 seconds",
    }
    assert (result.error, environment.phase, effects.calls[-1]) == ("Unhandled", Phase.COLD, "kill")


def test_a_cold_environment_initialises_again_within_the_timeout_of_its_next_invocation() -> None:
    environment, effects = ready_environment()
    environment.invoke(1.0, invocation())
    environment.exited(1.5, **EXIT)
    environment.invoke(2.0, invocation("r2"))
    assert effects.calls[-1] == "launch"
    assert effects.timer == 3.0
    environment.launched(2.5)
    environment.ready(3.0)
    assert effects.calls[-1] == "deliver r2 2"


def test_an_exit_is_told_in_the_words_of_aws() -> None:
    cases = [
        (
            {"clean": True, "description": "exit status 0", "out_of_memory": False},
            "Runtime exited without providing a reason",
        ),
        (EXIT, "Runtime exited with error: exit status 1"),
        (
            {"clean": False, "description": "signal: killed", "out_of_memory": True},
            "Runtime exited with error: signal: killed",
        ),
    ]
    for status, words in cases:
        environment, effects = ready_environment()
        environment.invoke(1.0, invocation())
        environment.exited(1.5, **status)
        payload = json.loads(effects.replies[0][1].payload)
        assert payload["errorMessage"] == f"RequestId: r1 Error: {words}"
        assert payload["errorType"] == ("Runtime.OutOfMemory" if status["out_of_memory"] else "Runtime.ExitError")


def test_a_failed_init_phase_is_repeated_by_the_invocation_and_then_told() -> None:
    effects = Recorder()
    environment = Environment(3.0, effects)
    environment.start(0.0)
    environment.launched(0.0)
    assert effects.timer == INIT_TIMEOUT_S
    environment.init_failed(0.5, b'{"errorType":"Runtime.ImportModuleError"}', "Runtime.ImportModuleError")
    assert effects.announced == [None]
    assert effects.init_reports == [("init", "error", "Runtime.ImportModuleError")]
    environment.invoke(1.0, invocation())
    environment.launched(1.0)
    environment.init_failed(1.5, b'{"errorType":"Runtime.ImportModuleError"}', "Runtime.ImportModuleError")
    result = effects.replies[0][1]
    assert (result.payload, result.error) == (b'{"errorType":"Runtime.ImportModuleError"}', "Unhandled")
    assert environment.phase is Phase.COLD


def test_an_init_phase_that_hangs_ends_after_ten_seconds() -> None:
    effects = Recorder()
    environment = Environment(60.0, effects)
    environment.start(0.0)
    environment.launched(0.0)
    environment.timer(10.0)
    assert effects.init_reports == [("init", "timeout", "")]
    assert environment.is_available


def test_a_runtime_that_died_before_it_took_the_invocation_is_replaced_once() -> None:
    environment, effects = ready_environment()
    effects.taken = False
    environment.invoke(1.0, invocation())
    environment.exited(1.1, **EXIT)
    assert effects.replies == []
    assert effects.calls[-2:] == ["kill", "launch"]
    environment.launched(1.2)
    environment.ready(1.3)
    environment.exited(1.4, **EXIT)
    assert effects.replies[0][1].error_type == "Runtime.ExitError"


def test_a_host_that_cannot_make_the_sandbox_refuses_the_start_and_is_gone() -> None:
    effects = Recorder()
    environment = Environment(3.0, effects)
    environment.start(0.0)
    environment.launch_refused(0.1, "ServiceException", "no room")
    assert effects.calls == ["launch", "refuse ServiceException", "gone"]


def test_stopping_answers_what_is_in_progress() -> None:
    environment, effects = ready_environment()
    environment.invoke(1.0, invocation())
    environment.stop(1.5)
    assert effects.replies[0][1].error_type == "Sandbox.Failure"
    assert effects.calls[-1] == "gone"
    environment.stop(2.0)
    assert effects.calls.count("gone") == 1


def streaming_environment(*, streaming: bool) -> tuple[Environment, Recorder]:
    environment, effects = ready_environment()
    environment.invoke(1.0, invocation(streaming=streaming))
    environment.stream_opened(1.5, "text/plain")
    environment.stream_data(1.5, b"ab")
    return environment, effects


def test_pieces_go_on_at_once_to_a_caller_who_takes_them() -> None:
    environment, effects = streaming_environment(streaming=True)
    assert effects.calls[-1] == "open text/plain"
    assert (effects.pieces, effects.replies, effects.timer) == ([b"ab"], [], 3.0)
    environment.stream_ended(2.0)
    result = effects.replies[0][1]
    assert (result.payload, result.error, environment.phase) == (b"", None, Phase.IDLE)


def test_pieces_are_collected_for_any_other_caller() -> None:
    environment, effects = streaming_environment(streaming=False)
    environment.stream_data(1.6, b"c")
    environment.stream_ended(2.0)
    assert (effects.pieces, effects.replies[0][1].payload) == ([], b"abc")


def test_an_error_in_the_middle_is_the_answer_whoever_asked() -> None:
    for streaming in (True, False):
        environment, effects = streaming_environment(streaming=streaming)
        environment.stream_failed(2.0, b'{"errorType":"E"}', "Function.E")
        result = effects.replies[0][1]
        assert (result.payload, result.error, result.error_type) == (b'{"errorType":"E"}', "Unhandled", "Function.E")
        assert environment.phase is Phase.IDLE


def test_the_timeout_and_the_end_of_the_process_count_while_streaming() -> None:
    environment, effects = streaming_environment(streaming=True)
    environment.timer(4.0)
    assert effects.replies[0][1].error_type == "Sandbox.Timedout"
    assert environment.phase is Phase.COLD
    environment.stream_data(4.1, b"late")
    environment.stream_cut(4.1)
    environment, effects = streaming_environment(streaming=True)
    environment.exited(2.0, **EXIT)
    assert effects.replies[0][1].error_type == "Runtime.ExitError"


def test_a_response_that_breaks_off_is_truncated_unless_the_process_ended() -> None:
    environment, effects = streaming_environment(streaming=True)
    environment.stream_cut(2.0)
    assert (effects.replies, effects.timer) == ([], CUT_GRACE_S)
    environment.timer(2.0 + CUT_GRACE_S)
    assert effects.replies[0][1].error_type == "Runtime.TruncatedResponse"
    assert effects.calls[-1] == "kill"
    environment, effects = streaming_environment(streaming=True)
    environment.stream_cut(2.0)
    environment.exited(2.0, clean=False, description="signal: killed", out_of_memory=True)
    assert effects.replies[0][1].error_type == "Runtime.OutOfMemory"


def test_a_streamed_response_has_its_limit_and_a_collected_one_that_of_any_response() -> None:
    piece = b"x" * 1_000_000
    for streaming, limit in ((True, STREAM_RESPONSE_MAX), (False, PAYLOAD_RESPONSE_MAX)):
        environment, effects = streaming_environment(streaming=streaming)
        for _ in range(limit // len(piece)):
            environment.stream_data(1.6, piece)
        assert effects.replies == []
        environment.stream_data(1.6, piece)
        assert effects.replies[0][1].error_type == "Function.ResponseSizeTooLarge"
        assert environment.phase is Phase.COLD


@given(st.lists(st.integers(0, 9), max_size=60))
@settings(deadline=None)
def test_every_invocation_is_answered_exactly_once_whatever_happens(choices: list[int]) -> None:
    """Any order of legal events: no invocation is lost, none is answered twice, and it can always be stopped."""
    effects = Recorder()
    environment = Environment(3.0, effects)
    environment.start(0.0)
    sent: list[str] = []
    now = 0.0
    for choice in choices:
        now += 0.5
        legal = _legal_events(environment, effects, now, sent)
        if not legal:
            break
        legal[choice % len(legal)]()
    environment.stop(now + 1)
    assert [request for request, _ in effects.replies] == sent
    assert environment.phase is Phase.GONE


def _legal_events(environment: Environment, effects: Recorder, now: float, sent: list[str]) -> list:  # type: ignore[type-arg]
    def invoke() -> None:
        sent.append(f"r{len(sent)}")
        environment.invoke(now, invocation(sent[-1], streaming=len(sent) % 2 == 0))

    exited = [lambda: environment.exited(now, **EXIT)]
    match environment.phase:
        case Phase.STARTING | Phase.RESTARTING:
            return [
                lambda: environment.launched(now),
                lambda: environment.launch_failed(now, "Runtime.InvalidEntrypoint", "no such file"),
                lambda: environment.launch_refused(now, "ServiceException", "no room"),
                lambda: environment.timer(now),
            ]
        case Phase.INIT | Phase.REINIT:
            return [
                lambda: environment.ready(now),
                lambda: environment.init_failed(now, b"{}", "Runtime.Unknown"),
                lambda: environment.timer(now),
                *exited,
            ]
        case Phase.IDLE:
            return [invoke, *exited]
        case Phase.COLD:
            return [invoke]
        case Phase.BUSY:
            effects.taken = not effects.taken
            return [
                lambda: environment.responded(now, b"1"),
                lambda: environment.errored(now, b"{}", "Function.Unknown"),
                lambda: environment.response_too_large(now),
                lambda: environment.stream_opened(now, "text/plain"),
                lambda: environment.timer(now),
                *exited,
            ]
        case Phase.STREAMING:
            return [
                lambda: environment.stream_data(now, b"piece"),
                lambda: environment.stream_ended(now),
                lambda: environment.stream_failed(now, b"{}", "Function.Unknown"),
                lambda: environment.stream_cut(now),
                lambda: environment.timer(now),
                *exited,
            ]
        case Phase.CUT:
            return [lambda: environment.timer(now), *exited]
        case _:
            return []


def lingering_environment() -> tuple[Environment, Recorder]:
    environment, effects = ready_environment()
    effects.extensions = effects.busy = True
    environment.invoke(1.0, invocation())
    environment.responded(1.5, b'"ok"')
    return environment, effects


def test_the_answer_does_not_wait_for_extensions_and_the_report_does() -> None:
    environment, effects = lingering_environment()
    [(_, result)] = effects.replies
    assert (result.payload, result.lingers, result.timings) == (b'"ok"', True, {"duration": 500.0})
    assert (effects.done, effects.reports, environment.phase) == ([], [], Phase.LINGERING)
    assert not environment.is_available
    environment.runtime_waits(1.75)
    [done] = effects.ends
    assert (done.latency_ms, done.response_ms, done.overhead_ms, done.duration_ms) == (500.0, 0.0, 250.0, 750.0)
    environment.settled(2.0)
    assert effects.done == ["r1"]
    assert [report[1] for report in effects.reports] == [1000.0]
    assert (effects.freed, effects.timer, environment.is_available) == (1, None, True)


def test_the_parts_of_a_streamed_response_are_measured() -> None:
    environment, effects = ready_environment()
    environment.invoke(1.0, invocation(streaming=True))
    environment.stream_opened(1.25, "text/plain")
    environment.stream_data(1.5, b"abc")
    environment.stream_ended(2.0)
    [done] = effects.ends
    assert (done.latency_ms, done.response_ms, done.overhead_ms, done.size) == (250.0, 750.0, None, 3)
    environment.invoke(3.0, invocation("r2"))
    environment.responded(3.5, b"{}")
    assert effects.ends[1].latency_ms == 500.0


def test_an_end_is_told_once_even_if_the_runtime_never_asks_again() -> None:
    environment, effects = lingering_environment()
    environment.timer(4.0)
    environment.runtime_waits(4.5)
    assert (effects.done, effects.ends[0].overhead_ms) == (["r1"], None)


def test_a_caller_who_reads_the_log_waits_for_its_report() -> None:
    environment, effects = ready_environment()
    effects.extensions = effects.busy = True
    environment.invoke(1.0, Invocation(request_id="r1", payload=b"{}", invoked_arn="arn", tail=True))
    environment.responded(1.5, b'"ok"')
    assert effects.replies == []
    environment.settled(2.0)
    assert [result.payload for _, result in effects.replies] == [b'"ok"']
    assert effects.freed == 1


def test_extensions_have_the_functions_timeout_and_then_all_is_reset() -> None:
    environment, effects = lingering_environment()
    environment.timer(4.0)
    assert len(effects.replies) == 1
    fault = effects.reports[0][3]
    assert fault is not None
    assert (fault.status, effects.reasons) == ("timeout", [Reason.TIMEOUT])
    assert (environment.phase, effects.freed) == (Phase.RESETTING, 0)
    environment.ended(4.5)
    assert (environment.phase, effects.freed) == (Phase.COLD, 1)


def test_a_crash_of_an_extension_fails_the_invocation_in_the_words_of_aws() -> None:
    environment, effects = ready_environment()
    effects.extensions = True
    environment.invoke(1.0, invocation())
    environment.extension_failed(1.5, "Extension.Crash", "exit status 3")
    [(_, result)] = effects.replies
    assert json.loads(result.payload) == {
        "errorType": "Extension.Crash",
        "errorMessage": "RequestId: r1 Error: exit status 3",
    }
    assert (result.lingers, environment.phase) == (True, Phase.RESETTING)
    environment.ended(2.0)
    assert (effects.freed, environment.phase) == (1, Phase.COLD)


def test_an_init_phase_that_an_extension_breaks_is_announced_once_all_is_gone_and_then_repeated() -> None:
    effects = Recorder()
    effects.extensions = True
    environment = Environment(3.0, effects)
    environment.start(0.0)
    environment.launched(0.0)
    environment.extension_failed(0.5, "Extension.LaunchError", "fork/exec /opt/extensions/x: permission denied")
    assert (effects.init_reports, effects.announced) == ([("init", "error", "Extension.LaunchError")], [])
    environment.ended(1.0)
    assert effects.announced == [None]
    environment.invoke(2.0, invocation())
    environment.launched(2.0)
    environment.extension_failed(2.5, "Extension.LaunchError", "fork/exec /opt/extensions/x: permission denied")
    assert effects.init_reports[1:] == [("invoke", "error", "Extension.LaunchError")]
    assert effects.replies[0][1].error_type == "Extension.LaunchError"


def test_an_invocation_that_comes_while_an_idle_environment_is_reset_is_run_after_it() -> None:
    environment, effects = ready_environment()
    effects.extensions = True
    environment.extension_failed(1.0, "Extension.Crash", "exit code 0")
    assert (environment.phase, environment.is_available) == (Phase.RESETTING, True)
    environment.invoke(1.1, invocation())
    assert not environment.is_available
    environment.ended(2.0)
    assert (environment.phase, effects.timer, effects.calls[-1]) == (Phase.RESTARTING, 3.0, "launch")


def test_stopping_answers_what_waits_whatever_the_phase() -> None:
    environment, effects = lingering_environment()
    environment.stop(2.0)
    assert (len(effects.replies), len(effects.reports), effects.calls[-1]) == (1, 1, "gone")
    environment, effects = ready_environment()
    effects.extensions = True
    environment.exited(1.0, **EXIT)
    environment.invoke(1.1, invocation())
    environment.stop(1.2)
    environment.ended(2.0)
    assert effects.replies[0][1].error_type == "Sandbox.Failure"
    assert effects.calls.count("kill") == 1
