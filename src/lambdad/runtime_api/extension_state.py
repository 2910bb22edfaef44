"""The extensions of one sandbox, and what each may call when, as a state machine without I/O.

Rule: a call that is not allowed is refused with AWS's words and changes nothing.

Theory of operation. An *external* extension is a program that the platform starts (`expect`), known by its file's name
before it says a word; an *internal* one is any other name that registers. Both register, then call `next` to say that
they are ready for an event; each event that they are given (`release`) makes them busy until their following `next`.
Whoever reports an error has left for good. Registration is open until the runtime's own first `next` (`close`).

Source: "Lambda Extensions API", AWS Lambda Developer Guide; the state names are those of AWS's EXTENSION log lines.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from lambdad.model.limits import EXTENSIONS_MAX

INVOKE, SHUTDOWN = "INVOKE", "SHUTDOWN"
NAME_MAX = 128
"""Characters of an extension's name; names come from untrusted code and are kept."""


class State(Enum):
    STARTED = "Started"
    REGISTERED = "Registered"
    READY = "Ready"
    RUNNING = "Running"
    INIT_ERROR = "InitError"
    EXIT_ERROR = "ExitError"
    EXITED = "Exited"
    LAUNCH_ERROR = "LaunchError"


_LEFT = frozenset({State.INIT_ERROR, State.EXIT_ERROR, State.EXITED, State.LAUNCH_ERROR})


class Refusal(Exception):
    """A call that is not allowed. error_type: AWS's name for why."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


@dataclass(slots=True)
class Extension:
    """error_type: what it said when it reported an error, or why it could not be started."""

    name: str
    is_external: bool
    identifier: str
    state: State = State.STARTED
    events: tuple[str, ...] = ()
    error_type: str | None = None

    @property
    def has_left(self) -> bool:
        return self.state in _LEFT

    def takes(self, event: str) -> bool:
        """Whether it has asked for events of this kind and is there to take them."""
        return event in self.events and not self.has_left


@dataclass(slots=True)
class Extensions:
    """All extensions of one sandbox. new_identifier: makes what nobody can guess; a UUID's text."""

    new_identifier: Callable[[], str] = field(default=lambda: str(uuid.uuid4()))
    all: list[Extension] = field(default_factory=list)
    _is_closed: bool = False

    # -- asked by the platform

    def expect(self, name: str) -> Extension:
        """A program of this name is being started."""
        extension = Extension(name, True, self.new_identifier())
        self.all.append(extension)
        return extension

    def close(self) -> None:
        """Nobody may register from now on."""
        self._is_closed = True

    def release(self, extension: Extension) -> None:
        """Give a ready extension an event."""
        assert extension.state is State.READY, extension
        extension.state = State.RUNNING

    @property
    def is_registered(self) -> bool:
        """Whether every external extension has registered."""
        return all(each.state is not State.STARTED for each in self.all)

    @property
    def is_ready(self) -> bool:
        """Whether every extension waits for an event."""
        return all(each.state is State.READY for each in self.all)

    def subscribers(self, event: str) -> list[Extension]:
        return [each for each in self.all if each.takes(event)]

    # -- called by extensions

    def register(self, name: str, events: Sequence[object]) -> Extension:
        if not name:
            raise Refusal("Extension.InvalidExtensionName", "Empty extension name")
        extension = next((each for each in self.all if each.name == name), None)
        is_external = extension is not None and extension.is_external
        for event in events:
            _check_event(event, is_external)
        if extension is None:
            extension = self._admit(name)
        elif not is_external:
            raise Refusal("Extension.InvalidExtensionState", "Extension with this name already registered")
        elif extension.state is not State.STARTED:
            raise _not_allowed(extension, State.REGISTERED, name)
        extension.state = State.REGISTERED
        extension.events = tuple(dict.fromkeys(str(event) for event in events))
        return extension

    def find(self, identifier: str | None) -> Extension:
        """The extension that a request's `Lambda-Extension-Identifier` names."""
        if not identifier:
            raise Refusal("Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header")
        if not _is_uuid(identifier):
            raise Refusal("Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier")
        for each in self.all:
            if each.identifier == identifier and each.state is not State.STARTED:
                return each
        raise Refusal("Extension.UnknownExtensionIdentifier", f"Unknown extension {identifier}")

    def ready(self, extension: Extension, *, lost_connection: bool = False) -> None:
        """It has called `next`. lost_connection: the one on which it waited before is gone, so it may ask again."""
        if extension.state not in (State.REGISTERED, State.RUNNING) and not (
            extension.state is State.READY and lost_connection
        ):
            raise _not_allowed(extension, State.READY, extension.identifier)
        extension.state = State.READY

    def init_error(self, extension: Extension, error_type: str) -> bool:
        """Whether this is news: of several errors the first counts."""
        if extension.state is State.INIT_ERROR:
            return False
        if extension.state is not State.REGISTERED:
            raise _not_allowed(extension, State.INIT_ERROR, extension.identifier)
        extension.state, extension.error_type = State.INIT_ERROR, error_type
        return True

    def exit_error(self, extension: Extension, error_type: str) -> bool:
        """Whether this is news."""
        if extension.state is State.EXIT_ERROR:
            return False
        if extension.has_left or extension.state is State.STARTED:
            raise _not_allowed(extension, State.EXITED, extension.identifier)
        extension.state, extension.error_type = State.EXIT_ERROR, error_type
        return True

    def _admit(self, name: str) -> Extension:
        """A new internal extension."""
        if self._is_closed:
            raise Refusal("Extension.RegistrationClosed", "Extension registration closed already")
        if len(self.all) >= EXTENSIONS_MAX:
            raise Refusal("Extension.TooManyExtensions", f"Extension limit ({EXTENSIONS_MAX}) reached")
        if len(name) > NAME_MAX or not name.isprintable():
            raise Refusal("Extension.InvalidExtensionName", f"A name has at most {NAME_MAX} printable characters")
        extension = Extension(name, False, self.new_identifier())
        self.all.append(extension)
        return extension


def _check_event(event: object, is_external: bool) -> None:
    if event == INVOKE or (event == SHUTDOWN and is_external):
        return
    why = "SHUTDOWN event not supported for internal extensions" if event == SHUTDOWN else "invalid event type"
    raise Refusal("Extension.InvalidEventType", f"{str(event)[:64]}: {why}")


def _not_allowed(extension: Extension, wanted: State, who: str) -> Refusal:
    return Refusal(
        "Extension.InvalidExtensionState",
        f"State transition from {extension.state.value} to {wanted.value} failed for extension {who}. "
        "Error: State transition is not allowed",
    )


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
