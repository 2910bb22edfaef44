"""Roles and managed policies have the ARNs that IAM gives them."""

from __future__ import annotations

from lambdad.model.role import ManagedPolicy, Role


def test_paths_are_part_of_arns() -> None:
    role = Role(account="1" * 12, name="worker", path="/team/", id="AROA1", created=1.0, trust="{}")
    assert role.arn == "arn:aws:iam::111111111111:role/team/worker"
    policy = ManagedPolicy(account="1" * 12, name="read", path="/", id="ANPA1", created=1.0, updated=1.0, versions=())
    assert policy.arn == "arn:aws:iam::111111111111:policy/read"
