"""`lambdad runtime test --sandbox`: the bootstrap from a layer's zip, the function from a directory."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from lambdad.cli.main import run
from lambdad.testing.examples import build_conformance
from lambdad.testing.probes import can_make_namespaces, is_root, skip_unless
from lambdad.testing.runtime_conformance import CASE_NAMES

pytestmark = [pytest.mark.kernel, skip_unless(is_root(), can_make_namespaces())]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_layers_bootstrap_passes_in_a_sandbox(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    function, layer = tmp_path / "function", tmp_path / "layer.zip"
    build_conformance("bash", function)
    with zipfile.ZipFile(layer, "w") as archive:
        archive.write(function / "bootstrap", "bootstrap")
    (function / "bootstrap").unlink()

    status = run(["runtime", "test", str(function), "--sandbox", "--layer", str(layer), "--patience", "60", "--json"])

    verdicts = {line["case"]: line["verdict"] for line in json.loads(capfd.readouterr().out)}
    assert (status, list(verdicts)) == (0, list(CASE_NAMES))
    assert verdicts["timeout"] == verdicts["expect-continue"] == "passed"


def test_a_program_that_a_sandbox_cannot_start_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "bootstrap"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)

    assert run(["runtime", "test", str(tmp_path), "--sandbox"]) == 1
    assert "does not start in a sandbox: Runtime.InvalidEntrypoint" in " ".join(capfd.readouterr().err.split())
