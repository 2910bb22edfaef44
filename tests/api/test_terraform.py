"""examples/terraform with the real terraform and AWS's provider: apply, an empty second plan, a change, destroy.

On a node that lets nobody in without a key, keeps roles, and gives terraform no more than a policy says: what works
there works on an open node, which asks for less.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from lambdad.testing.chunk_servers import S3Server, run_s3
from lambdad.testing.deploying import Outcome, zip_of
from lambdad.testing.local_node import REGION, LocalNode

EXAMPLE = Path(__file__).parents[2] / "examples" / "terraform"
MIRRORS = (Path("/opt/tf-plugins"), Path("/usr/local/share/terraform/plugins"), Path("/usr/share/terraform/plugins"))
PROVIDER = "registry.terraform.io/hashicorp/aws"
S3_PROGRAM = shutil.which("moto_server", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
CHANGED = ("-var", "description=says it again")
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["lambda:*", "logs:*"], "Resource": "arn:aws:*:us-east-1:000000000000:*"},
        {"Effect": "Allow", "Action": ["lambda:*EventSourceMapping*"], "Resource": "*"},
        {"Effect": "Allow", "Action": "iam:*", "Resource": "arn:aws:iam::000000000000:role/hello-terraform"},
        {"Effect": "Deny", "Action": "lambda:DeleteFunction", "NotResource": "*:function:hello-terraform*"},
    ],
}


class Terraform:
    def __init__(self, directory: Path, mirror: Path, endpoint: str, key: tuple[str, str], bucket: str) -> None:
        self._directory = directory
        config = directory / "terraform.rc"
        config.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')
        self._environment = {
            **os.environ,
            "TF_CLI_CONFIG_FILE": str(config),
            "TF_IN_AUTOMATION": "1",
            "TF_VAR_endpoint": endpoint,
            "TF_VAR_access_key": key[0],
            "TF_VAR_secret_key": key[1],
            "TF_VAR_bucket": bucket,
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


class Strict:
    """A node with one key, roles that are kept, and what terraform may do. s3: where it finds code, if anywhere."""

    def __init__(self, directory: Path, s3: S3Server | None) -> None:
        self.s3 = s3
        policy = directory / "policy.json"
        policy.write_text(json.dumps(POLICY))
        data = directory / "data"
        command = ["keys", "create", "terraform", "--account", "000000000000", "--policy", str(policy), "--json"]
        told = subprocess.run(
            [sys.executable, "-m", "lambdad", *command, "--data-dir", str(data)],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        made = json.loads(told.stdout)
        self.key = made["AccessKeyId"], made["SecretAccessKey"]
        config = directory / "lambdad.toml"
        store = "" if s3 is None else f's3_endpoint = "{s3.endpoint}"\ns3_access_key = "x"\ns3_secret_key = "x"\n'
        config.write_text(f'roles = "kept"\n{store}')
        self.node = LocalNode.start(data, arguments=("--config", str(config)))
        self.client: Any = boto3.client(
            "lambda",
            endpoint_url=self.node.endpoint,
            region_name=REGION,
            aws_access_key_id=self.key[0],
            aws_secret_access_key=self.key[1],
        )


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Strict]:
    with contextlib.nullcontext() if S3_PROGRAM is None else run_s3(S3_PROGRAM) as s3:
        started = Strict(tmp_path, s3)
        yield started
        assert started.node.stop() == []


@pytest.fixture
def mirror() -> Path:
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    found = next((path for path in MIRRORS if (path / PROVIDER).is_dir()), None)
    if found is None:
        pytest.skip(f"no unpacked {PROVIDER} in {', '.join(map(str, MIRRORS))}")
    return found


@pytest.fixture
def terraform(mirror: Path, strict: Strict, tmp_path: Path) -> Terraform:
    shutil.copy(EXAMPLE / "main.tf", tmp_path)
    for package in ("function", "layer"):
        files = {
            str(path.relative_to(EXAMPLE / package)): path.read_bytes()
            for path in sorted((EXAMPLE / package).rglob("*.py"))
        }
        (tmp_path / f"{package}.zip").write_bytes(zip_of(files))
    if strict.s3 is not None:
        _store_object(strict.s3, "function.zip", (tmp_path / "function.zip").read_bytes())
    bucket = "" if strict.s3 is None else strict.s3.bucket
    made = Terraform(tmp_path, mirror, strict.node.endpoint, strict.key, bucket)
    made("init")
    return made


def _store_object(s3: S3Server, key: str, content: bytes) -> None:
    client = boto3.client(
        "s3", endpoint_url=s3.endpoint, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x"
    )
    client.put_object(Bucket=s3.bucket, Key=key, Body=content)


def test_the_example_is_applied_changed_and_destroyed(terraform: Terraform, strict: Strict) -> None:
    client = strict.client
    terraform("apply", "-auto-approve")
    terraform("plan", "-detailed-exitcode")  # 2 if there were a difference
    answer = Outcome(client.invoke(FunctionName="hello-terraform", Qualifier="live", Payload=b'{"name": "Ada"}'))
    assert (answer.value, answer.version) == ({"text": "Hello, Ada!"}, "1")
    if strict.s3 is not None:
        stored = Outcome(client.invoke(FunctionName="hello-terraform-stored", Payload=b'{"name": "Ada"}'))
        assert stored.value == {"text": "Hello, Ada!"}
    terraform("apply", "-auto-approve", *CHANGED)
    terraform("plan", "-detailed-exitcode", *CHANGED)
    alias = client.get_alias(FunctionName="hello-terraform", Name="live")
    assert alias["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.1}}
    terraform("destroy", "-auto-approve", *CHANGED)
    with pytest.raises(ClientError, match="Function not found"):
        client.get_function(FunctionName="hello-terraform")
