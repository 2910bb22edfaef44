"""What an attempt at a message came to: values that the dispatcher writes into the queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from lambdad.store.event_queue import Death, Message, Retry


@dataclass(frozen=True, slots=True)
class Done:
    """Forget the message. follow: messages that are put in the same transaction."""

    follow: Sequence[Message] = ()


@dataclass(frozen=True, slots=True)
class Later:
    """Put it back. refused: the scope had no capacity, so ask it less."""

    retry: Retry
    refused: bool


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Keep it among the dead. follow: messages that are put in the same transaction."""

    death: Death
    follow: Sequence[Message] = ()


Verdict: TypeAlias = Done | Later | GivenUp
Settle: TypeAlias = Callable[[Verdict], None]


class Handler(Protocol):
    """Works on the messages of one lane."""

    def attempt_s(self, scope: str) -> float:
        """Seconds that an attempt at a message of the scope may take."""
        ...

    def start(self, message: Message, settle: Settle) -> None:
        """Begin an attempt. `settle` is called once, now or later. What raises here is our bug."""
        ...
