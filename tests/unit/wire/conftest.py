"""What the tests of `wire` share: the compiled model and botocore's own view of it as the oracle."""

from __future__ import annotations

import botocore.session
import pytest
from botocore.model import ServiceModel

from lambdad.wire.route import Router
from lambdad.wire.service import LambdaService, load_service


@pytest.fixture(scope="session")
def service() -> LambdaService:
    return load_service()


@pytest.fixture(scope="session")
def router(service: LambdaService) -> Router:
    return Router(service)


@pytest.fixture(scope="session")
def oracle() -> ServiceModel:
    return botocore.session.Session().get_service_model("lambda")
