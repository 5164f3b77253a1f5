"""The interruption notice of a node, and the hooks that run on it (rule A9)."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from cdk.bootstrap import cloud_init
from tests.support.nodes import AWS, calls, files, install, run

SPOT = replace(AWS, interruptible=True)

METADATA = """#!/usr/bin/env bash
echo "curl $*" >> "$STUBS/calls"
case "${*: -1}" in
  */latest/api/token) echo token ;;
  *) cat "$STUBS/metadata/$(basename "${*: -1}")" 2> /dev/null ;;
esac
"""

SLEEP = """#!/usr/bin/env bash
echo "sleep $*" >> "$STUBS/calls"
mv "$STUBS/arrives/"* "$STUBS/metadata/"
"""


@pytest.fixture
def node(tmp_path: Path) -> Mapping[str, str]:
    environment = install(SPOT, tmp_path)
    curl = Path(environment["STUBS"], "curl")
    curl.write_text(METADATA)
    hooks = tmp_path / "hooks"
    for folder in (Path(environment["STUBS"], "metadata"), hooks):
        folder.mkdir()
    # The notice arrives while the watch sleeps.
    Path(environment["STUBS"], "sleep").write_text(SLEEP)
    Path(environment["STUBS"], "arrives").mkdir()
    return {
        **environment,
        "IMDS_URL": "http://169.254.169.254",
        "HOOKS_DIR": str(hooks),
        "POLL_S": "5",
        "HOOK_S": "5",
    }


def hook(node: Mapping[str, str], name: str, text: str) -> None:
    path = Path(node["HOOKS_DIR"], name)
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("item", "content", "handed_over"),
    [
        (
            "instance-action",
            '{"action": "terminate", "time": "2026-12-01T08:22:00Z"}',
            '{"action": "terminate", "time": "2026-12-01T08:22:00Z"}',
        ),
        ("target-lifecycle-state", "Terminated", '{"action": "terminate"}'),
    ],
)
def test_a9_a_notice_runs_every_hook_once_and_hands_it_over(
    item: str, content: str, handed_over: str, node: Mapping[str, str], tmp_path: Path
) -> None:
    Path(node["STUBS"], "metadata", "target-lifecycle-state").write_text("InService")
    Path(node["STUBS"], "arrives", item).write_text(content)
    hook(node, "10-fails", "exit 1")
    hook(node, "20-checkpoint", f'echo "$1" >> "{tmp_path}/saved"')

    done = run(tmp_path, "llmcluster-interruption", node)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "saved").read_text() == handed_over + "\n"
    assert calls(node, "sleep") == ["sleep 5"]
    assert "10-fails ended with an error" in done.stderr


def test_a16_metadata_is_asked_with_a_token(node: Mapping[str, str], tmp_path: Path) -> None:
    Path(node["STUBS"], "metadata", "instance-action").write_text("{}")
    run(tmp_path, "llmcluster-interruption", node)
    token, question = calls(node, "curl")
    assert "--request PUT" in token
    assert "X-aws-ec2-metadata-token: token" in question


def test_a9_only_nodes_that_may_be_taken_away_watch() -> None:
    watched = [path for path in files(SPOT) if "interruption" in path]
    assert watched == [
        "/usr/local/sbin/llmcluster-interruption",
        "/etc/systemd/system/llmcluster-interruption.service",
    ]
    assert not any("interruption" in path for path in files(AWS))
    enabled = yaml.safe_load(cloud_init(SPOT))["runcmd"][1]
    assert enabled == ["systemctl", "enable", "llmcluster-interruption.service", "llmcluster-ready.target"]
    # A node that is being taken away is not less ready.
    assert "interruption" not in files(SPOT)["/etc/systemd/system/llmcluster-ready.service"]
