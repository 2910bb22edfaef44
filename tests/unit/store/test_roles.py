"""The tables of roles and managed policies."""

from __future__ import annotations

from pathlib import Path

from tests.unit.store.records import run_with_store

from lambdad.model.role import ManagedPolicy, PolicyVersion, Role
from lambdad.store.metadata import SqliteStore, Transaction

MINE, THEIRS = "111111111111", "222222222222"


def role(name: str, *attached: str) -> Role:
    return Role(
        account=MINE,
        name=name,
        path="/",
        id=f"AROA{name}",
        created=1.0,
        trust="{}",
        inline={"p": "{}"},
        attached=attached,
        tags={"team": "a"},
    )


def test_roles_are_an_accounts_own_and_their_names_differ_by_more_than_case(tmp_path: Path) -> None:
    def work(transaction: Transaction) -> None:
        table = transaction.roles
        assert not table.keeps(MINE)
        for name in "abc":
            table.put(role(name))
        assert table.get(MINE, "B") == role("b")
        assert table.get(THEIRS, "b") is None
        assert table.page(MINE, "a", 1) == [role("b")]
        table.remove(role("b"))
        assert [kept.name for kept in table.page(MINE, "", 10)] == ["a", "c"]
        assert table.count(MINE) == 2

    run_with_store(tmp_path, lambda store: store.write(work))


def test_an_account_whose_last_role_went_still_keeps_roles(tmp_path: Path) -> None:
    def work(transaction: Transaction) -> None:
        transaction.roles.put(role("a"))
        transaction.roles.remove(role("a"))
        assert transaction.roles.keeps(MINE)
        assert not transaction.roles.keeps(THEIRS)

    run_with_store(tmp_path, lambda store: store.write(work))


def test_policies_know_the_roles_that_have_them(tmp_path: Path) -> None:
    policy = ManagedPolicy(
        account=MINE,
        name="read",
        path="/team/",
        id="ANPA1",
        created=1.0,
        updated=2.0,
        versions=(PolicyVersion(number=1, document="{}", created=1.0),),
    )

    async def body(store: SqliteStore) -> None:
        def work(transaction: Transaction) -> None:
            table = transaction.roles
            table.put_policy(policy)
            table.put(role("a", policy.arn))
            table.put(role("b"))
            assert table.get_policy(MINE, "read") == policy
            assert [found.name for found in table.with_policy(MINE, policy.arn)] == ["a"]
            assert table.attachments(MINE) == {policy.arn: 1}
            assert table.attachments(THEIRS)[policy.arn] == 0
            assert (table.policies(MINE, "", 5), table.count_policies(MINE)) == ([policy], 1)
            table.remove_policy(policy)
            assert table.get_policy(MINE, "read") is None

        await store.write(work)

    run_with_store(tmp_path, body)
