"""The npm command line, offline: synth, diff, deploy and destroy of a stack against a local AWS."""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import aws_moto, processes
from tests.support.moto_server import MotoServer
from tests.support.terraform import Terraform

ROOT = Path(__file__).parent.parent
STACK = "by-npm-network"
SPEC = """
name: by-npm
model: mistralai/Mistral-7B-v0.1
workload: {kind: inference, request_rate_per_s: 1}
placement: {providers: [aws], regions: [us-east-1]}
network: {flow_logs: false}
"""

Cdktf = Callable[..., str]


@pytest.fixture
def cdktf(cdktf_cli: Path, terraform: Terraform, aws: MotoServer, tmp_path: Path) -> Cdktf:
    """Runs `cdktf` in a project of its own and returns what it prints, without colours."""
    aws_moto.install()
    aws.reset()
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "state").mkdir()
    project = json.loads((ROOT / "cdktf.json").read_text())
    project |= {"app": f"{sys.executable} -m stacks.app", "context": {"specs": "spec.yaml"}}
    (tmp_path / "cdktf.json").write_text(json.dumps(project))
    tools = [ROOT / ".venv" / "bin", cdktf_cli]
    env = terraform.with_env(aws.env).environment() | {
        "PATH": os.pathsep.join([*map(str, tools), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "JSII_NODE": str(tools[0] / "node"),
        "DISABLE_VERSION_CHECK": "1",
        "CI": "true",
        "FORCE_COLOR": "0",
    }

    def run(*arguments: str) -> str:
        done = processes.run([str(cdktf_cli / "cdktf"), *arguments], cwd=tmp_path, env=env, timeout_s=300)
        output = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
        assert done.returncode == 0, output
        return output

    return run


def networks(aws: MotoServer) -> list[str]:
    client = aws.client("ec2")
    return [vpc["VpcId"] for vpc in client.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]]


def test_the_npm_command_line_synthesizes_shows_deploys_and_destroys(
    cdktf: Cdktf, aws: MotoServer, tmp_path: Path
) -> None:
    # `providers lock` asks the registry whatever mirror there is; the app is run once, by synth.
    offline = ("--skip-synth", "--skip-provider-lock")
    cdktf("synth")
    assert (tmp_path / "cdktf.out" / "stacks" / STACK / "cdk.tf.json").exists()
    assert "aws_vpc.cluster" in cdktf("diff", STACK, *offline)
    assert networks(aws) == []
    cdktf("deploy", STACK, "--auto-approve", *offline)
    assert len(networks(aws)) == 1
    assert "No changes" in cdktf("diff", STACK, *offline)
    cdktf("destroy", STACK, "--auto-approve", "--ignore-missing-stack-dependencies", *offline)
    assert networks(aws) == []
