"""Places that are shared: bounded, and never all somebody else's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lambdad.sandbox.relay_places import Place, Places

TOTAL, EACH = 6, 4


def test_one_client_has_its_share_and_no_more() -> None:
    places = Places(TOTAL, EACH)
    assert [places.take("a") is not None for _ in range(6)] == [True] * EACH + [False] * 2


def test_who_has_none_gets_the_oldest_of_whoever_has_most() -> None:
    places, ended = Places(TOTAL, EACH), list[str]()
    for name in ("a1", "a2", "a3", "a4", "b1", "b2"):
        place = places.take(name[0])
        assert place is not None
        place.end = lambda name=name: ended.append(name)
    assert places.take("c") is not None
    assert ended == ["a1"]
    assert (places.taken, places.taken_by("a"), places.taken_by("c")) == (TOTAL, 3, 1)


def test_when_all_have_the_same_nobody_loses_a_place_for_the_sake_of_another() -> None:
    places = Places(2, 2)
    assert places.take("a")
    assert places.take("b")
    assert places.take("c") is None
    assert places.take("a") is None


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), max_size=80))
def test_no_bound_is_passed_and_a_fair_share_is_always_to_be_had(steps: list[tuple[str, bool]]) -> None:
    places, held = Places(TOTAL, EACH), list[Place]()
    for client, comes in steps:
        if comes:
            before = places.taken_by(client)
            place = places.take(client)
            if place is None:
                others = max((places.taken_by(name) for name in "abcdefgh" if name != client), default=0)
                assert before >= EACH or (places.taken == TOTAL and others <= before + 1)
            else:
                place.end = lambda place=place: held.remove(place)
                held.append(place)
        elif held:
            places.leave(held.pop(0))
        assert places.taken == len(held) <= TOTAL
        assert all(places.taken_by(name) <= EACH for name in "abcdefgh")
    for place in [*held, *held]:
        places.leave(place)
    assert places.taken == 0
