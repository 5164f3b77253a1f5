"""Plans, locks, reports, bills and scripts are the same bytes in every environment, and hold nothing of it."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.support.every_command import COMMANDS, WITH_NODE_OR_NETWORK, commands, outputs
from tests.support.processes import run

ROOT = Path(__file__).parent.parent
CANARY = "canary-0f3b9c"
SECRETS = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "ARM_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET", "ARM_SUBSCRIPTION_ID", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "GITHUB_TOKEN",
    "TF_VAR_password", "USER", "LOGNAME", "HOSTNAME",
)  # fmt: skip


def hashes(folder: Path, **environment: str) -> dict[str, str]:
    folder.mkdir(parents=True)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder), **environment}
    command = [sys.executable, "-m", "tests.support.every_command", str(folder)]
    done = run(command, cwd=folder, env=env, timeout_s=900)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_output_does_not_depend_on_the_environment(tmp_path: Path) -> None:
    plain = hashes(tmp_path / "a", PYTHONHASHSEED="0", TZ="UTC", LC_ALL="C.UTF-8", USER="one")
    other = hashes(
        tmp_path / "another folder", PYTHONHASHSEED="4242", TZ="Pacific/Kiritimati", LC_ALL="C", USER="two", LANG="C",
        PYTHONUTF8="1",
    )  # fmt: skip
    assert len(plain) > len(COMMANDS)
    assert {name for name in plain if plain[name] != other.get(name)} == set()


@pytest.mark.slow
def test_no_output_has_a_secret_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, CANARY)
    monkeypatch.chdir(tmp_path)
    leaking = [name for name, text in outputs(tmp_path) if CANARY in text]
    assert leaking == []


def test_every_command_is_run_or_excused() -> None:
    assert commands() == {command[0] for command in COMMANDS} | WITH_NODE_OR_NETWORK
