"""docs/api-coverage.md says what the source does."""

from __future__ import annotations

from scripts import api_coverage

from lambdad.wire.service import load_service


def test_the_table_of_operations_is_what_the_source_has() -> None:
    assert api_coverage.FILE.read_text() == api_coverage.render(), "run: python scripts/api_coverage.py"


def test_every_note_is_about_an_operation_that_is_built() -> None:
    built = api_coverage.control_operations() | api_coverage.FRONTEND
    assert api_coverage.CONFIGURATION_ONLY.keys() <= built
    assert built <= load_service().operations.keys()
