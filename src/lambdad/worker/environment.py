"""The life of one execution environment, as a state machine without clock or I/O.

Theory of operation. An environment is made for one state of one function version. Its first runtime process starts in
STARTING and runs its init phase in INIT, for at most ten seconds, before any invocation is there. When the first
`next` comes, it is IDLE. An init phase that fails, for whatever reason, is not the end: the environment is COLD, it has
no process, and its next invocation starts one again and pays for the init phase out of its own timeout (AWS calls this
a suppressed init): RESTARTING, then REINIT. An invocation is BUSY until it is answered, or until the process exits or
the time is over; then the process is killed, /tmp stays, and the environment is COLD again.

A response may come in pieces: the environment is then STREAMING until the last one, within the same timeout. Pieces go
on at once to a caller who takes them, and are collected for any other. If the response breaks off, it is CUT for the
moment in which the end of the process may yet tell why.

A runtime that died between its answer and its following `next` is nobody's failure yet: the invocation that it should
have taken starts a new process instead.

Where there are extensions, an environment that has answered is LINGERING until the runtime and every extension that
takes invocations have asked for the next one, within the same timeout; its caller has the answer already. Ending it
takes a moment then, too: extensions are told, and have a little time; it is RESETTING until they are gone. In both it
counts as busy for whoever sends invocations, until `free`.

Every method is one event and takes `now`, monotonic seconds. What must be done goes out through `Effects`, before the
method returns and in the order in which it must happen.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.limits import INIT_TIMEOUT_S, PAYLOAD_RESPONSE_MAX, STREAM_RESPONSE_MAX
from lambdad.worker import faults
from lambdad.worker.faults import Fault
from lambdad.worker.outcome import Answered, Done, Summary

CUT_GRACE_S = 0.25
"""How long after a broken response an exit of the process counts as its reason."""


class Phase(Enum):
    NEW = "new"
    STARTING = "starting"
    INIT = "init"
    IDLE = "idle"
    BUSY = "busy"
    STREAMING = "streaming"
    CUT = "cut"
    LINGERING = "lingering"
    RESETTING = "resetting"
    COLD = "cold"
    RESTARTING = "restarting"
    REINIT = "reinit"
    GONE = "gone"


class Reason(Enum):
    """Why a runtime process is ended, in the words of AWS's SHUTDOWN event."""

    SPINDOWN = "spindown"
    TIMEOUT = "timeout"
    FAILURE = "failure"


class Effects(Protocol):
    """What an environment has done to the world."""

    def launch(self) -> None:
        """Start a runtime process; answered by `launched` or `launch_failed`."""
        ...

    def has_extensions(self) -> bool:
        """Whether extensions run beside the runtime process."""
        ...

    def is_settled(self) -> bool:
        """Whether runtime and extensions wait for the next invocation, so that the environment may be frozen.

        True at once where there are no extensions.
        """
        ...

    def kill(self, reason: Reason) -> None:
        """End the runtime process and forget it: none of its events may arrive after this.

        If it has extensions, `ended` tells when they are gone.
        """
        ...

    def announce(self, init_ms: float | None) -> None:
        """The environment takes invocations. init_ms: length of the init phase, None if it failed."""
        ...

    def refuse(self, code: str, message: str) -> None:
        """The host could not make the environment. It is gone."""
        ...

    def deliver(self, invocation: Invocation, remaining_s: float) -> None:
        """Hand over an invocation that must be answered within `remaining_s`."""
        ...

    def has_taken(self) -> bool:
        """Whether the runtime has taken the last invocation that was delivered."""
        ...

    def reply(self, request_id: str, result: InvocationResult) -> None:
        """result.lingers: the environment is not free yet, and `free` follows."""
        ...

    def free(self, extensions_ms: float) -> None:
        """The environment takes invocations again. extensions_ms: how long it was busy after the answer."""
        ...

    def open_stream(self, content_type: str) -> None:
        """The caller's response begins; pieces follow, then `reply`."""
        ...

    def send_piece(self, piece: bytes) -> None: ...

    def set_timer(self, seconds: float) -> None:
        """Call `timer` in so many seconds; replaces a timer that runs."""
        ...

    def clear_timer(self) -> None: ...

    def log_start(self, invocation: Invocation) -> None: ...

    def log_done(self, invocation: Invocation, done: Done) -> None:
        """The END of an invocation."""
        ...

    def log_report(self, invocation: Invocation, summary: Summary) -> None:
        """Its REPORT."""
        ...

    def log_init_done(self, phase: str, duration_ms: float, status: str, error_type: str) -> None:
        """The end of an init phase. phase: `init` or `invoke`. status: `success`, `error` or `timeout`."""
        ...

    def log_tail(self) -> bytes:
        """The end of the invocation's log; called after its REPORT."""
        ...

    def memory_used_mb(self) -> int:
        """Peak memory in MiB, as last sampled."""
        ...

    def gone(self) -> None:
        """Free everything; the environment is over."""
        ...


class Environment:
    """One execution environment. timeout_s: the function's timeout. init_timeout_s: of the init phase."""

    def __init__(self, timeout_s: float, effects: Effects, init_timeout_s: float = INIT_TIMEOUT_S) -> None:
        self.phase = Phase.NEW
        self._timeout_s = timeout_s
        self._init_timeout_s = init_timeout_s
        self._effects = effects
        self._invocation: Invocation | None = None
        self._since = 0.0
        """When the phase that is measured began: the init phase, or the invocation."""
        self._init_since = 0.0
        self._init_ms: float | None = None
        """Init duration that no REPORT has told yet."""
        self._retried = False
        self._collected: list[bytes] = []
        """Pieces of a streamed response for a caller who does not take pieces."""
        self._streamed = 0
        self._response_since: float | None = None
        """When the response began that is being streamed."""
        self._answered: Answered | None = None
        """While it lingers: what the runtime answered."""
        self._is_done_told = False
        """While it lingers: whether the log has the END of the invocation."""
        self._lingers = False
        """Whether the last answer said that the environment is not free yet."""
        self._after_reset: Callable[[], None] | None = None
        """What is owed to the host when a reset is over; None if the environment was idle."""

    @property
    def is_available(self) -> bool:
        """Whether `invoke` may be called."""
        return self.phase in (Phase.IDLE, Phase.COLD) or (
            self.phase is Phase.RESETTING and self._after_reset is None and self._invocation is None
        )

    # -- asked by placement

    def start(self, now: float) -> None:
        assert self.phase is Phase.NEW
        self.phase = Phase.STARTING
        self._since = now
        self._effects.launch()

    def invoke(self, now: float, invocation: Invocation) -> None:
        assert self.is_available, self.phase
        self._invocation = invocation
        self._retried = False
        self._since = now
        self._streamed = 0
        self._response_since = None
        if self.phase is Phase.RESETTING:
            return  # until the reset is over, and its time is not the invocation's
        self._effects.log_start(invocation)
        self._effects.set_timer(self._timeout_s)
        if self.phase is Phase.IDLE:
            self.phase = Phase.BUSY
            self._effects.deliver(invocation, self._timeout_s)
        else:
            self.phase = Phase.RESTARTING
            self._effects.launch()

    def stop(self, now: float) -> None:
        """End it, whatever it does. An invocation in progress is answered."""
        if self.phase is Phase.GONE:
            return
        if self._invocation is not None:
            fault = Fault("Sandbox.Failure", f"RequestId: {self._invocation.request_id} Error: The sandbox was stopped")
            if self._answered is None:
                self._conclude(self._measure(now, fault.payload(), fault), lingers=False)
            else:
                self._report(now, fault)
        is_ending = self.phase is Phase.RESETTING
        self.phase = Phase.GONE
        self._effects.clear_timer()
        if not is_ending:
            self._effects.kill(Reason.SPINDOWN)
        self._effects.gone()

    # -- told by the sandbox

    def launched(self, now: float) -> None:
        """The sandbox is there; its init phase begins."""
        self._init_since = now
        match self.phase:
            case Phase.STARTING:
                self.phase = Phase.INIT
                self._since = now
                self._effects.set_timer(self._init_timeout_s)
            case Phase.RESTARTING:
                self.phase = Phase.REINIT
            case _:
                raise AssertionError(self.phase)

    def launch_failed(self, now: float, error_type: str, message: str) -> None:
        """The runtime process could not be started, by the function's own fault."""
        if self.phase in (Phase.STARTING, Phase.INIT):
            self._init_phase_failed(now, "error", error_type)
            return
        assert self._invocation is not None
        self._fail(now, faults.not_started(self._invocation.request_id, error_type, message))

    def launch_refused(self, now: float, code: str, message: str) -> None:
        """The host could not make the sandbox."""
        if self.phase in (Phase.STARTING, Phase.INIT):
            if self.phase is Phase.INIT:
                self._effects.clear_timer()
                self._effects.kill(Reason.FAILURE)
            self.phase = Phase.GONE
            self._effects.refuse(code, message)
            self._effects.gone()
            return
        assert self._invocation is not None
        text = f"RequestId: {self._invocation.request_id} Error: {message}"
        self._fail(now, Fault("Sandbox.Failure", text, "failure"))

    def ready(self, now: float) -> None:
        """The runtime has asked for its first invocation, and so has every extension."""
        init_ms = (now - self._init_since) * 1000
        match self.phase:
            case Phase.INIT:
                self.phase = Phase.IDLE
                self._init_ms = init_ms
                self._effects.clear_timer()
                self._effects.log_init_done("init", init_ms, "success", "")
                self._effects.announce(init_ms)
            case Phase.REINIT:
                assert self._invocation is not None
                self.phase = Phase.BUSY
                self._effects.log_init_done("invoke", init_ms, "success", "")
                remaining = self._timeout_s - (now - self._since)
                self._effects.deliver(self._invocation, max(remaining, 0.0))
            case _:
                raise AssertionError(self.phase)

    def init_failed(self, now: float, payload: bytes, error_type: str) -> None:
        """The runtime says that its init phase failed."""
        match self.phase:
            case Phase.INIT:
                self._init_phase_failed(now, "error", error_type)
            case Phase.REINIT:
                self._log_reinit_failed(now, error_type)
                answered = self._measure(now, payload, Fault(error_type, ""))
                self._conclude(answered, lingers=self._effects.has_extensions())
                self._reset(Reason.FAILURE, self._tell_free)
            case _:
                raise AssertionError(self.phase)

    def responded(self, now: float, payload: bytes) -> None:
        self._answer(now, payload, None)

    def errored(self, now: float, payload: bytes, error_type: str) -> None:
        self._answer(now, payload, Fault(error_type, ""))

    def response_too_large(self, now: float) -> None:
        fault = faults.response_too_large()
        self._answer(now, fault.payload(), fault)

    def runtime_waits(self, now: float) -> None:
        """The runtime has asked for another invocation; extensions may be busy with the last one still."""
        if self._answered is not None and not self._is_done_told:
            self._tell_done((now - self._answered.at) * 1000)

    def settled(self, now: float) -> None:
        """Runtime and extensions wait for the next invocation."""
        if self.phase is Phase.LINGERING:
            self.phase = Phase.IDLE
            self._effects.clear_timer()
            extensions_ms = self._report(now, None)
            self._lingers = False
            self._effects.free(extensions_ms)

    def stream_opened(self, now: float, content_type: str) -> None:
        """The runtime begins a response that comes in pieces."""
        assert self.phase is Phase.BUSY, self.phase
        assert self._invocation is not None
        self.phase = Phase.STREAMING
        self._collected = []
        self._streamed = 0
        self._response_since = now
        if self._invocation.streaming:
            self._effects.open_stream(content_type)

    def stream_data(self, now: float, piece: bytes) -> None:
        if self.phase is not Phase.STREAMING:
            return  # given up, while the rest was on its way
        assert self._invocation is not None
        self._streamed += len(piece)
        if self._invocation.streaming:
            if self._streamed > STREAM_RESPONSE_MAX:
                self._fail(now, faults.stream_too_large())
            else:
                self._effects.send_piece(piece)
        elif self._streamed > PAYLOAD_RESPONSE_MAX:
            self._fail(now, faults.response_too_large())
        else:
            self._collected.append(piece)

    def stream_ended(self, now: float) -> None:
        self._finish_stream(now, b"".join(self._collected), None)

    def stream_failed(self, now: float, payload: bytes, error_type: str) -> None:
        """The function failed in the middle of its response."""
        self._finish_stream(now, payload, Fault(error_type, ""))

    def stream_cut(self, now: float) -> None:
        """The response broke off."""
        if self.phase is Phase.STREAMING:
            self.phase = Phase.CUT
            self._effects.set_timer(CUT_GRACE_S)

    def exited(self, now: float, *, clean: bool, description: str, out_of_memory: bool) -> None:
        """The runtime process ended by itself."""
        error_type = "Runtime.OutOfMemory" if out_of_memory else "Runtime.ExitError"
        match self.phase:
            case Phase.INIT:
                self._init_phase_failed(now, "error", error_type)
            case Phase.IDLE:
                self._reset(Reason.FAILURE, None)
            case Phase.BUSY if not self._effects.has_taken() and not self._retried:
                self._retried = True
                self._effects.kill(Reason.FAILURE)
                self.phase = Phase.RESTARTING
                self._effects.launch()
            case Phase.BUSY | Phase.REINIT | Phase.STREAMING | Phase.CUT | Phase.LINGERING:
                assert self._invocation is not None
                if self.phase is Phase.REINIT:
                    self._log_reinit_failed(now, error_type)
                fault = faults.exited(
                    self._invocation.request_id, clean=clean, description=description, out_of_memory=out_of_memory
                )
                self._fail(now, fault)
            case _:
                raise AssertionError(self.phase)

    def extension_failed(self, now: float, error_type: str, message: str) -> None:
        """An extension ended, or said that it cannot go on. error_type: such as `Extension.Crash`."""
        match self.phase:
            case Phase.INIT:
                self._init_phase_failed(now, "error", error_type)
            case Phase.IDLE:
                self._reset(Reason.FAILURE, None)
            case Phase.BUSY | Phase.REINIT | Phase.STREAMING | Phase.CUT | Phase.LINGERING:
                assert self._invocation is not None
                if self.phase is Phase.REINIT:
                    self._log_reinit_failed(now, error_type)
                self._fail(now, faults.extension_failed(self._invocation.request_id, error_type, message))
            case _:
                raise AssertionError(self.phase)

    def ended(self, now: float) -> None:
        """What was killed is gone, with its extensions."""
        if self.phase is not Phase.RESETTING:
            return
        self.phase = Phase.COLD
        then, self._after_reset = self._after_reset, None
        invocation = self._invocation
        if then is not None:
            then()
        elif invocation is not None:
            self.invoke(now, invocation)

    def timer(self, now: float) -> None:
        match self.phase:
            case Phase.INIT:
                self._init_phase_failed(now, "timeout", "")
            case Phase.CUT:
                assert self._invocation is not None
                self._fail(now, faults.truncated(self._invocation.request_id))
            case Phase.BUSY | Phase.REINIT | Phase.RESTARTING | Phase.STREAMING | Phase.LINGERING:
                assert self._invocation is not None
                fault = faults.timed_out(self._invocation.request_id, self._timeout_s)
                self._fail(now, fault, Reason.TIMEOUT)
            case _:
                pass  # it was cleared while it was on its way

    # -- inside

    def _init_phase_failed(self, now: float, status: str, error_type: str) -> None:
        self._effects.log_init_done("init", (now - self._since) * 1000, status, error_type)
        reason = Reason.TIMEOUT if status == "timeout" else Reason.FAILURE
        self._reset(reason, lambda: self._effects.announce(None))

    def _log_reinit_failed(self, now: float, error_type: str) -> None:
        self._effects.log_init_done("invoke", (now - self._init_since) * 1000, "error", error_type)

    def _finish_stream(self, now: float, payload: bytes, fault: Fault | None) -> None:
        if self.phase is Phase.STREAMING:
            self._collected = []
            self._answer(now, payload, fault)

    def _reset(self, reason: Reason, then: Callable[[], None] | None) -> None:
        """Drop the process. then: what is owed to the host once it is gone."""
        self._effects.clear_timer()
        takes_time = self._effects.has_extensions()
        self.phase = Phase.RESETTING if takes_time else Phase.COLD
        self._after_reset = then if takes_time else None
        self._effects.kill(reason)
        if not takes_time and then is not None:
            then()

    def _tell_free(self) -> None:
        """After an invocation whose answer said that the environment lingers."""
        if self._lingers:
            self._lingers = False
            self._effects.free(0.0)

    def _fail(self, now: float, fault: Fault, reason: Reason = Reason.FAILURE) -> None:
        """Answer the invocation with an error of the sandbox, unless it is answered, and drop the process."""
        if self._answered is None:
            self._conclude(self._measure(now, fault.payload(), fault), lingers=self._effects.has_extensions())
        else:
            self._report(now, fault)
        self._reset(reason, self._tell_free)

    def _measure(self, now: float, payload: bytes, fault: Fault | None) -> Answered:
        """What came of the invocation, now that it is there."""
        began = now if self._response_since is None else self._response_since
        return Answered(
            payload=payload,
            fault=fault,
            at=now,
            size=self._streamed or len(payload),
            latency_ms=(began - self._since) * 1000,
            duration_ms=(now - self._since) * 1000,
        )

    def _answer(self, now: float, payload: bytes, fault: Fault | None) -> None:
        """The runtime has answered."""
        answered = self._measure(now, payload, fault)
        if self._effects.is_settled():
            self.phase = Phase.IDLE
            self._conclude(answered, lingers=False)
            return
        assert self._invocation is not None
        self.phase = Phase.LINGERING
        self._answered = answered
        self._is_done_told = False
        if not self._invocation.tail:
            self._reply(self._invocation, answered, lingers=True)

    def _tell_done(self, overhead_ms: float | None) -> None:
        """The END of an invocation that lingers."""
        assert self._invocation is not None
        assert self._answered is not None
        self._is_done_told = True
        self._effects.log_done(self._invocation, self._answered.done(overhead_ms))

    def _report(self, now: float, fault: Fault | None) -> float:
        """End an invocation whose runtime has answered. Returns how long it lasted after that, in milliseconds."""
        if not self._is_done_told:
            self._tell_done(None)
        answered, self._answered = self._answered, None
        invocation, self._invocation = self._invocation, None
        assert answered is not None
        assert invocation is not None
        duration_ms = (now - self._since) * 1000
        extensions_ms = max(duration_ms - answered.duration_ms, 0.0)
        self._effects.log_report(invocation, self._summarise(duration_ms, fault or answered.fault, extensions_ms))
        if invocation.tail:
            self._reply(invocation, answered, lingers=True)
        return extensions_ms

    def _conclude(self, answered: Answered, *, lingers: bool) -> None:
        """Answer and report at once. lingers: whether `free` will follow."""
        invocation, self._invocation = self._invocation, None
        assert invocation is not None
        effects, summary = self._effects, self._summarise(answered.duration_ms, answered.fault, None)
        effects.clear_timer()
        if invocation.tail:
            effects.log_done(invocation, answered.done(None))
            effects.log_report(invocation, summary)
        self._reply(invocation, answered, lingers=lingers)
        if not invocation.tail:  # a caller who does not read the log need not wait for it
            effects.log_done(invocation, answered.done(None))
            effects.log_report(invocation, summary)

    def _summarise(self, duration_ms: float, fault: Fault | None, extensions_ms: float | None) -> Summary:
        """For REPORT, which tells of an init phase once."""
        init_ms, self._init_ms = self._init_ms, None
        return Summary(fault=fault, init_ms=init_ms, extensions_ms=extensions_ms, duration_ms=duration_ms)

    def _reply(self, invocation: Invocation, answered: Answered, *, lingers: bool) -> None:
        fault = answered.fault
        self._lingers = lingers
        result = InvocationResult(
            payload=answered.payload,
            error=None if fault is None else "Unhandled",
            error_type=None if fault is None else fault.error_type,
            log_tail=self._effects.log_tail() if invocation.tail else b"",
            timings={"duration": answered.duration_ms},
            memory_used_mb=self._effects.memory_used_mb(),
            lingers=lingers,
        )
        self._effects.reply(invocation.request_id, result)
