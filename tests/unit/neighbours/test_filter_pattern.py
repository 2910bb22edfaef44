"""Filter patterns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.neighbours.filter_pattern import parse_pattern


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [
        ("", "anything", True),
        ("ERROR", "an ERROR here", True),
        ("ERROR", "an error here", False),
        ("ERROR Timeout", "Timeout: ERROR", True),
        ("ERROR Timeout", "ERROR", False),
        ('"out of memory"', "was out of memory", True),
        ('"out of memory"', "memory out of", False),
        ("?ERROR ?WARN", "a WARN", True),
        ("?ERROR ?WARN", "an INFO", False),
        ("ERROR -Timeout", "ERROR Timeout", False),
        (r'"say \"hi\""', 'say "hi"', True),
    ],
)
def test_terms_phrases_alternatives_and_exclusions(pattern: str, text: str, is_match: bool) -> None:
    assert parse_pattern(pattern).matches(text) is is_match


@pytest.mark.parametrize("pattern", ["%x%", '"open', "x" * 2000])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern"):
        parse_pattern(pattern)


JSON = (
    '{"level": "ERROR", "size": 5, "n": null, "ok": true, "user": {"id": "Ada"}, '
    '"items": [{"x": 1}, {"x": 9}], "d.d": 1}'
)


@pytest.mark.parametrize(
    ("pattern", "is_match"),
    [
        ('{ $.level = "ERROR" }', True),
        ('{$.level="ERROR"}', True),
        ("{ $.level = ERR* }", True),
        ("{ $.level = *RO* }", True),
        ("{ $.level = *RO }", False),
        ('{ $.level != "ERROR" }', False),
        ('{ $.missing != "ERROR" }', False),
        ("{ $.size = 5 }", True),
        ("{ $.size = 5.0 }", True),
        ('{ $.size = "5" }', False),
        ("{ $.size > 4 && $.size <= 5 }", True),
        ("{ $.size > 5 || $.user.id = Ada }", True),
        ("{ ($.size > 5 || $.size < 1) && $.level = ERROR }", False),
        ("{ $.n IS NULL }", True),
        ("{ $.ok IS TRUE }", True),
        ("{ $.ok is false }", False),
        ("{ $.missing NOT EXISTS }", True),
        ("{ $.level NOT EXISTS }", False),
        ("{ $.items[1].x = 9 }", True),
        ("{ $.items[*].x = 9 }", True),
        ("{ $.items[*].x = 7 }", False),
        ("{ $.items[7].x = 7 }", False),
        ("{ $['d.d'] = 1 }", True),
    ],
)
def test_conditions_on_json(pattern: str, is_match: bool) -> None:
    assert parse_pattern(pattern).matches(JSON) is is_match
    assert not parse_pattern(pattern).matches("ERROR 5 Ada")


LINE = '127.0.0.1 - ada [01/Jan/2026:00:00:00 +0000] "GET /x HTTP/1.1" 404 2326'


@pytest.mark.parametrize(
    ("pattern", "is_match"),
    [
        ("[ip, id, user, when, request, status, bytes]", True),
        ("[ip, id, user, when, request, status = 4*, bytes > 2000]", True),
        ("[ip, id, user, when, request, status = 4* && status != 404, bytes]", False),
        ("[ip, id, user, when, request, status = 500 || status = 404, bytes]", True),
        ('[ip, id, user, when, request = "GET /x*", status, bytes]', True),
        ("[ip, ..., bytes]", True),
        ("[..., status = 404, bytes]", True),
        ("[ip, id]", False),
        ("[a, b, c, d, ..., e, f, g, h]", False),
    ],
)
def test_conditions_on_fields(pattern: str, is_match: bool) -> None:
    assert parse_pattern(pattern).matches(LINE) is is_match


@pytest.mark.parametrize(
    "pattern",
    [
        "{ $.a = 1",
        "{ level = 1 }",
        "{ $ = 1 }",
        "{ $.a }",
        "{ $.a = }",
        "{ $.a > x }",
        "{ $.a IS 5 }",
        "{ $.a = %x% }",
        "{ ($.a = 1 }",
        "{ $.a = 1 ) }",
        "{ $.a = 1 $.b = 2 }",
        "{ " + "(" * 40 + "$.a = 1" + ")" * 40 + " }",
        "{}",
        "[a",
        "[a, a]",
        "[..., a, ...]",
        "[a = 1 && b = 2]",
    ],
)
def test_what_is_no_condition_is_refused_with_a_reason(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"Invalid filter pattern: .+"):
        parse_pattern(pattern)


CONDITION_TEXT = st.text(alphabet='$.ab[]()*0 1"&|=<>!,%-{}\\', max_size=60)


@given(CONDITION_TEXT, st.sampled_from(["{%s}", "[%s]"]))
def test_any_condition_is_a_pattern_or_an_error(text: str, frame: str) -> None:
    try:
        parse_pattern(frame % text).matches(JSON)
    except ValueError as error:
        assert "pattern" in str(error)


@given(st.text())
def test_any_text_is_a_pattern_or_an_error(text: str) -> None:
    try:
        parse_pattern(text).matches(text)
    except ValueError as error:
        assert "pattern" in str(error)
