"""Tools: found or named, their errors shown."""

from __future__ import annotations

import sys

import pytest

from lambdad.pack.errors import PackError
from lambdad.pack.process import ToolFailed, clean_environment, find_tool, run_tool, tool_output


def test_a_tool_that_is_missing_names_its_package():
    with pytest.raises(PackError, match="no-such-tool is not installed: install the package x"):
        find_tool("no-such-tool", "the package x")
    with pytest.raises(PackError, match="no-such-tool is not installed"):
        run_tool(["no-such-tool"])


def test_a_failure_shows_the_end_of_what_was_printed():
    code = "import sys; print('x' * 100000); print('the reason', file=sys.stderr); sys.exit(3)"
    with pytest.raises(ToolFailed, match="exit status 3") as caught:
        run_tool([sys.executable, "-c", code])
    assert caught.value.output.endswith("the reason") and len(caught.value.output) <= 2_000


def test_a_tool_that_hangs_is_ended():
    with pytest.raises(PackError, match="did not finish"):
        run_tool([sys.executable, "-c", "import signal; signal.pause()"], timeout_s=0.2)


def test_output_is_text_or_bytes():
    assert run_tool([sys.executable, "-c", "print('x')"]) == "x\n"
    assert tool_output([sys.executable, "-c", "print('x')"]) == b"x\n"


def test_tools_speak_plain_english():
    assert clean_environment(A="b")["LC_ALL"] == "C.UTF-8"
