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

Every method is one event and takes `now`, monotonic seconds. What must be done goes out through `Effects`, before the
method returns and in the order in which it must happen.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.limits import INIT_TIMEOUT_S, PAYLOAD_RESPONSE_MAX, STREAM_RESPONSE_MAX
from lambdad.worker import faults
from lambdad.worker.faults import Fault

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
    COLD = "cold"
    RESTARTING = "restarting"
    REINIT = "reinit"
    GONE = "gone"


class Effects(Protocol):
    """What an environment has done to the world."""

    def launch(self) -> None:
        """Start a runtime process; answered by `launched` or `launch_failed`."""
        ...

    def kill(self) -> None:
        """End the runtime process and forget it: none of its events may arrive after this."""
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

    def reply(self, request_id: str, result: InvocationResult) -> None: ...

    def open_stream(self, content_type: str) -> None:
        """The caller's response begins; pieces follow, then `reply`."""
        ...

    def send_piece(self, piece: bytes) -> None: ...

    def set_timer(self, seconds: float) -> None:
        """Call `timer` in so many seconds; replaces a timer that runs."""
        ...

    def clear_timer(self) -> None: ...

    def log_start(self, invocation: Invocation) -> None: ...

    def log_report(
        self, invocation: Invocation, duration_ms: float, init_ms: float | None, fault: Fault | None
    ) -> None:
        """The END and REPORT of an invocation. fault: set unless the function succeeded."""
        ...

    def log_init_report(self, phase: str, duration_ms: float, status: str, error_type: str) -> None: ...

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
    """One execution environment. timeout_s: the function's timeout."""

    def __init__(self, timeout_s: float, effects: Effects) -> None:
        self.phase = Phase.NEW
        self._timeout_s = timeout_s
        self._effects = effects
        self._invocation: Invocation | None = None
        self._since = 0.0
        """When the phase that is measured began: the init phase, or the invocation."""
        self._init_ms: float | None = None
        """Init duration that no REPORT has told yet."""
        self._retried = False
        self._collected: list[bytes] = []
        """Pieces of a streamed response for a caller who does not take pieces."""
        self._streamed = 0

    @property
    def is_available(self) -> bool:
        """Whether `invoke` may be called."""
        return self.phase in (Phase.IDLE, Phase.COLD)

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
            self._fail(now, fault)
        self.phase = Phase.GONE
        self._effects.clear_timer()
        self._effects.kill()
        self._effects.gone()

    # -- told by the sandbox

    def launched(self, now: float) -> None:
        match self.phase:
            case Phase.STARTING:
                self.phase = Phase.INIT
                self._since = now
                self._effects.set_timer(INIT_TIMEOUT_S)
            case Phase.RESTARTING:
                self.phase = Phase.REINIT
            case _:
                raise AssertionError(self.phase)

    def launch_failed(self, now: float, error_type: str, message: str) -> None:
        """The runtime process could not be started, by the function's own fault."""
        if self.phase is Phase.STARTING:
            self._init_phase_failed(now, "error", error_type)
            return
        assert self._invocation is not None
        self._fail(now, faults.not_started(self._invocation.request_id, error_type, message))

    def launch_refused(self, now: float, code: str, message: str) -> None:
        """The host could not make the sandbox."""
        if self.phase is Phase.STARTING:
            self.phase = Phase.GONE
            self._effects.refuse(code, message)
            self._effects.gone()
            return
        assert self._invocation is not None
        text = f"RequestId: {self._invocation.request_id} Error: {message}"
        self._fail(now, Fault("Sandbox.Failure", text, "failure"))

    def ready(self, now: float) -> None:
        """The runtime has asked for its first invocation."""
        match self.phase:
            case Phase.INIT:
                self.phase = Phase.IDLE
                self._init_ms = (now - self._since) * 1000
                self._effects.clear_timer()
                self._effects.announce(self._init_ms)
            case Phase.REINIT:
                assert self._invocation is not None
                self.phase = Phase.BUSY
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
                duration_ms = (now - self._since) * 1000
                self._effects.log_init_report("invoke", duration_ms, "error", error_type)
                self._answer(now, payload, Fault(error_type, ""))
                self._go_cold()
            case _:
                raise AssertionError(self.phase)

    def responded(self, now: float, payload: bytes) -> None:
        self.phase = Phase.IDLE
        self._answer(now, payload, None)

    def errored(self, now: float, payload: bytes, error_type: str) -> None:
        self.phase = Phase.IDLE
        self._answer(now, payload, Fault(error_type, ""))

    def response_too_large(self, now: float) -> None:
        self.phase = Phase.IDLE
        fault = faults.response_too_large()
        self._answer(now, fault.payload(), fault)

    def stream_opened(self, now: float, content_type: str) -> None:
        """The runtime begins a response that comes in pieces."""
        assert self.phase is Phase.BUSY, self.phase
        assert self._invocation is not None
        self.phase = Phase.STREAMING
        self._collected = []
        self._streamed = 0
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
                self._go_cold()
            case Phase.BUSY if not self._effects.has_taken() and not self._retried:
                self._retried = True
                self._effects.kill()
                self.phase = Phase.RESTARTING
                self._effects.launch()
            case Phase.BUSY | Phase.REINIT | Phase.STREAMING | Phase.CUT:
                assert self._invocation is not None
                if self.phase is Phase.REINIT:
                    duration_ms = (now - self._since) * 1000
                    self._effects.log_init_report("invoke", duration_ms, "error", error_type)
                fault = faults.exited(
                    self._invocation.request_id, clean=clean, description=description, out_of_memory=out_of_memory
                )
                self._fail(now, fault)
            case _:
                raise AssertionError(self.phase)

    def timer(self, now: float) -> None:
        match self.phase:
            case Phase.INIT:
                self._init_phase_failed(now, "timeout", "")
            case Phase.CUT:
                assert self._invocation is not None
                self._fail(now, faults.truncated(self._invocation.request_id))
            case Phase.BUSY | Phase.REINIT | Phase.RESTARTING | Phase.STREAMING:
                assert self._invocation is not None
                self._fail(now, faults.timed_out(self._invocation.request_id, self._timeout_s))
            case _:
                pass  # it was cleared while it was on its way

    # -- inside

    def _init_phase_failed(self, now: float, status: str, error_type: str) -> None:
        self._effects.log_init_report("init", (now - self._since) * 1000, status, error_type)
        self._go_cold()
        self._effects.announce(None)

    def _finish_stream(self, now: float, payload: bytes, fault: Fault | None) -> None:
        if self.phase is Phase.STREAMING:
            self.phase = Phase.IDLE
            self._collected = []
            self._answer(now, payload, fault)

    def _go_cold(self) -> None:
        self.phase = Phase.COLD
        self._effects.clear_timer()
        self._effects.kill()

    def _fail(self, now: float, fault: Fault) -> None:
        """Answer the invocation with an error of the sandbox, and drop the process."""
        self._answer(now, fault.payload(), fault)
        self._go_cold()

    def _answer(self, now: float, payload: bytes, fault: Fault | None) -> None:
        invocation, self._invocation = self._invocation, None
        assert invocation is not None
        duration_ms = (now - self._since) * 1000
        init_ms, self._init_ms = self._init_ms, None
        effects = self._effects
        effects.clear_timer()
        if invocation.tail:
            effects.log_report(invocation, duration_ms, init_ms, fault)
        result = InvocationResult(
            payload=payload,
            error=None if fault is None else "Unhandled",
            error_type=None if fault is None else fault.error_type,
            log_tail=effects.log_tail() if invocation.tail else b"",
            timings={"duration": duration_ms},
            memory_used_mb=effects.memory_used_mb(),
        )
        effects.reply(invocation.request_id, result)
        if not invocation.tail:  # a caller who does not read the log need not wait for it
            effects.log_report(invocation, duration_ms, init_ms, fault)
