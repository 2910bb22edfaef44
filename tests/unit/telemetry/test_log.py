"""lambdad's own log: one line an event, readable, parseable, and without secrets."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path

import orjson
import pytest

import lambdad
from lambdad.telemetry.actions import ACTIONS
from lambdad.telemetry.log import FIELD_MAX, Logger, configure, silent


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _plain(level: str = "info") -> tuple[Logger, io.StringIO]:
    stream = io.StringIO()
    return configure(level, as_json=False, name="api", stream=stream), stream


def test_an_event_is_one_line_with_its_fields() -> None:
    log, stream = _plain()
    log.info("api.ready", port=9000, host="127.0.0.1", note="two words", empty="")
    line = stream.getvalue()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} info  api    api\.ready port=9000 .*\n", line)
    assert line.endswith('host=127.0.0.1 note="two words" empty=""\n')


def test_no_value_can_end_the_line_or_pose_as_a_field() -> None:
    log, stream = _plain()
    log.error("request.failed", path='/x\nfake line level=info "quoted" \x1b[31m')
    assert stream.getvalue().count("\n") == 1
    assert r'path="/x\nfake line level=info \"quoted\" \u001b[31m"' in stream.getvalue()


def test_a_terminal_gets_colour_unless_it_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = _Terminal()
    configure("info", as_json=False, name="api", stream=stream).warning("worker.lost")
    assert "\x1b[33mwarn \x1b[0m" in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    stream = _Terminal()
    configure("info", as_json=False, name="api", stream=stream).warning("worker.lost")
    assert "\x1b" not in stream.getvalue()


def test_json_holds_the_same_event() -> None:
    stream = io.StringIO()
    configure("info", as_json=True, name="worker", stream=stream).error("sandbox.failed", count=3, what=Path("/x"))
    event = orjson.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event.pop("time"))
    assert event == {"level": "error", "process": "worker", "action": "sandbox.failed", "count": 3, "what": "/x"}


@pytest.mark.parametrize("name", ["secret_access_key", "SessionToken", "authorization", "password", "payload"])
def test_fields_that_speak_of_secrets_are_masked(name: str) -> None:
    log, stream = _plain()
    log.info("node.ready", **{name: "hunter2"})
    assert "hunter2" not in stream.getvalue() and f"{name}=***" in stream.getvalue()


def test_long_values_are_cut() -> None:
    log, stream = _plain()
    log.info("node.ready", what="x" * 10_000)
    assert len(stream.getvalue()) < FIELD_MAX + 200 and "(10000 characters)" in stream.getvalue()


def test_an_exception_tells_where_it_came_from_on_the_same_line() -> None:
    log, stream = _plain()
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        log.exception("task.failed", error, task="t")
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert r'error="ValueError: two\nlines"' in line and "test_log.py" in line and "task=t" in line


def test_levels_below_the_chosen_one_are_silent() -> None:
    log, stream = _plain("warning")
    log.info("node.ready")
    log.debug("node.ready")
    assert stream.getvalue() == ""
    with pytest.raises(ValueError, match="the log level is 'loud'; it must be one of debug, info, warning, error"):
        configure("loud", as_json=False, name="api")


def test_libraries_speak_through_the_same_handler_once() -> None:
    _plain()
    _, stream = _plain()
    logging.getLogger("a.library").warning("hello %s", "there")
    logging.getLogger("a.library").info("quiet")
    assert stream.getvalue().count("\n") == 1
    assert 'library.message logger=a.library message="hello there"' in stream.getvalue()


def test_a_silent_logger_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    silent().error("task.failed")
    assert capsys.readouterr() == ("", "")


def test_every_action_in_the_source_is_on_the_list() -> None:
    call = re.compile(r"log\.(?:debug|info|warning|error|exception)\(\s*\"([a-z_]+\.[a-z_]+)\"")
    package = Path(lambdad.__file__).parent
    used = {action for path in package.rglob("*.py") for action in call.findall(path.read_text())}
    assert used - ACTIONS == set()
