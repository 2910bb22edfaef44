"""A bystander: another function that must keep answering whatever a hostile one does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lambdad.testing.deploying import Deployed, deploy_python


@pytest.fixture(scope="session")
def bystander(lambda_client: Any) -> Iterator[Deployed]:
    with deploy_python(lambda_client, "def handler(event, context):\n    return 'here'\n", Timeout=30) as function:
        yield function


@pytest.fixture(autouse=True)
def _others_are_unharmed(bystander: Deployed) -> Iterator[None]:
    """After each attack, and whatever became of it: others are served, the host is as it was."""
    yield
    assert bystander.invoke({}).value == "here"
