"""Places in the name relay, shared between sandboxes so that none can take them from the others. Pure.

There are so many places, and of those so many for one client. When all are taken, a client that has fewer than another
gets one of the other's, the oldest: a flood costs its author its own queries first, and floods of several share evenly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Place:
    """client: whose it is. end: called when it is given to somebody else; whoever holds it then gives it up."""

    client: str
    end: Callable[[], object]


def _nothing() -> None:
    pass


class Places:
    """total: of all clients together. each: of one client."""

    def __init__(self, total: int, each: int) -> None:
        self._total = total
        self._each = each
        self._taken: dict[str, dict[Place, None]] = {}
        """By client, the oldest first; no client without a place."""
        self._count = 0

    @property
    def taken(self) -> int:
        return self._count

    def taken_by(self, client: str) -> int:
        return len(self._taken.get(client, ()))

    def take(self, client: str) -> Place | None:
        """A place until `leave`, or None: the client has its share, or nobody has more than it would have."""
        own = self.taken_by(client)
        if own >= self._each:
            return None
        if self._count >= self._total:
            greediest = max(self._taken.values(), key=len)
            if len(greediest) <= own + 1:
                return None
            oldest = next(iter(greediest))
            self.leave(oldest)
            oldest.end()
        place = Place(client, _nothing)
        self._taken.setdefault(client, {})[place] = None
        self._count += 1
        return place

    def leave(self, place: Place) -> None:
        """Give a place back; nothing if it was given to somebody else meanwhile."""
        places = self._taken.get(place.client)
        if places is None or place not in places:
            return
        del places[place]
        self._count -= 1
        if not places:
            del self._taken[place.client]
