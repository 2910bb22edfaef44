"""The harness itself: readiness, failure with the node's own words, and a stop that tells what is left.

The node here is a program of a few lines; the real one is for tests/api.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from lambdad.testing.local_node import LocalNode, NodeFailed

HEALTHY = """
    import http.server, signal, sys, threading
    port = int(sys.argv[sys.argv.index("--port") + 1])
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/_lambdad/health" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
        def log_message(self, *arguments): pass
    server = http.server.HTTPServer(("127.0.0.1", port), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    server.server_close()
    sys.exit(int(EXIT))
"""


def _program(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(text))
    return [sys.executable, str(path)]


def test_a_node_is_ready_when_its_health_endpoint_answers_and_leaves_nothing(tmp_path: Path) -> None:
    command = _program(tmp_path, HEALTHY.replace("EXIT", "0"))
    with LocalNode.start(tmp_path / "data", command=command) as node:
        assert node.process.pid in {process.pid for process in node.holdings().processes}
        assert node.endpoint == f"http://127.0.0.1:{node.port}"
        assert node.stop() == []


def test_an_exit_code_other_than_zero_is_left_over_too(tmp_path: Path) -> None:
    with LocalNode.start(tmp_path / "data", command=_program(tmp_path, HEALTHY.replace("EXIT", "3"))) as node:
        left = node.stop()
    assert len(left) == 1
    assert left[0].startswith("exit code 3 after SIGTERM")


def test_a_node_that_ends_at_once_fails_with_what_it_printed(tmp_path: Path) -> None:
    command = _program(tmp_path, "raise SystemExit('the port is taken')")
    with pytest.raises(NodeFailed, match=r"(?s)ended with 1.*the port is taken"):
        LocalNode.start(tmp_path / "data", command=command)
