"""examples/terraform with the real terraform and AWS's provider: apply, an empty second plan, a change, destroy."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdad.testing.deploying import Outcome, zip_of
from lambdad.testing.local_node import LocalNode

EXAMPLE = Path(__file__).parents[2] / "examples" / "terraform"
MIRRORS = (Path("/opt/tf-plugins"), Path("/usr/local/share/terraform/plugins"), Path("/usr/share/terraform/plugins"))
PROVIDER = "registry.terraform.io/hashicorp/aws"
CHANGED = ("-var", "description=says it again")


class Terraform:
    def __init__(self, directory: Path, mirror: Path, endpoint: str) -> None:
        self._directory = directory
        config = directory / "terraform.rc"
        config.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')
        self._environment = {
            **os.environ,
            "TF_CLI_CONFIG_FILE": str(config),
            "TF_IN_AUTOMATION": "1",
            "TF_VAR_endpoint": endpoint,
            "CHECKPOINT_DISABLE": "1",
        }

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Standard output of a command that must end with `code`."""
        run = subprocess.run(
            ["terraform", *arguments, "-no-color"],
            cwd=self._directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert run.returncode == code, f"terraform {' '.join(arguments)}\n{run.stdout}\n{run.stderr}"
        return run.stdout


@pytest.fixture
def terraform(node: LocalNode, tmp_path: Path) -> Terraform:
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    mirror = next((path for path in MIRRORS if (path / PROVIDER).is_dir()), None)
    if mirror is None:
        pytest.skip(f"no unpacked {PROVIDER} in {', '.join(map(str, MIRRORS))}")
    shutil.copy(EXAMPLE / "main.tf", tmp_path)
    for package in ("function", "layer"):
        files = {
            str(path.relative_to(EXAMPLE / package)): path.read_bytes()
            for path in sorted((EXAMPLE / package).rglob("*.py"))
        }
        (tmp_path / f"{package}.zip").write_bytes(zip_of(files))
    made = Terraform(tmp_path, mirror, node.endpoint)
    made("init")
    return made


def test_the_example_is_applied_changed_and_destroyed(terraform: Terraform, lambda_client: Any) -> None:
    terraform("apply", "-auto-approve")
    terraform("plan", "-detailed-exitcode")  # 2 if there were a difference
    answer = Outcome(lambda_client.invoke(FunctionName="hello-terraform", Qualifier="live", Payload=b'{"name": "Ada"}'))
    assert (answer.value, answer.version) == ({"text": "Hello, Ada!"}, "1")
    terraform("apply", "-auto-approve", *CHANGED)
    terraform("plan", "-detailed-exitcode", *CHANGED)
    alias = lambda_client.get_alias(FunctionName="hello-terraform", Name="live")
    assert alias["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.1}}
    terraform("destroy", "-auto-approve", *CHANGED)
    with pytest.raises(ClientError, match="Function not found"):
        lambda_client.get_function(FunctionName="hello-terraform")
