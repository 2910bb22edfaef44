"""The plan that empties a store's old roots in one go."""

from __future__ import annotations

from lambdad.chunks.gc import CreateRoot, DeleteRoot, ExpireRoot, MigrateManifest, Observed, RetireRoot
from lambdad.chunks.roots import Root, RootState
from lambdad.cli.image_check import plan_in_one_go

OLD, YOUNG = "r00000000005", "r00000000009"


def test_what_is_wanted_is_copied_once_before_anything_ends() -> None:
    roots = (Root(YOUNG, RootState.ACTIVE, 9.0), Root(OLD, RootState.EXPIRED, 5.0))
    observed = Observed(roots, {YOUNG: frozenset({"m", "n"}), OLD: frozenset({"m", "o"})}, frozenset())
    steps = plan_in_one_go(observed, frozenset({"m"}), 3.0)  # the clock went back
    target = "r00000000010"
    assert steps == (
        CreateRoot(Root(target, RootState.ACTIVE, 10)),
        RetireRoot(YOUNG),
        MigrateManifest("m", YOUNG, target),
        ExpireRoot(YOUNG),
        DeleteRoot(YOUNG),
        DeleteRoot(OLD),
    )
