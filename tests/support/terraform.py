"""The real Terraform binary, run on synthesized documents with a CLI configuration that the tests write."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import processes

RUN_TIMEOUT_S = 600
"""Time limit of one run. Ours take less than a quarter of it; a run that hangs fails and shows its output."""

REGISTRY = ("registry.terraform.io", 443)

# Runs are too short for garbage collection to pay; it took a fifth of the processor time of `terraform validate`.
NO_COLLECTOR = {"GOGC": "off", "GOMEMLIMIT": "2GiB"}


class TerraformError(AssertionError):
    """Terraform ended with an error; the message carries the command and everything it printed."""


def unavailable_reason() -> str | None:
    """Say why Terraform cannot be used here, or None when it can."""
    if shutil.which("terraform") is None:
        return "the terraform binary is not on PATH"
    if os.environ.get("TF_PLUGIN_MIRROR"):
        return None
    try:
        socket.create_connection(REGISTRY, timeout=3).close()
    except OSError:
        return f"TF_PLUGIN_MIRROR names no provider mirror and {REGISTRY[0]} cannot be reached"
    return None


def write_cli_config(path: Path, mirror: str | None) -> None:
    """Write a Terraform CLI configuration that takes providers from a local mirror, if there is one."""
    lines = ["disable_checkpoint = true"]
    if mirror:
        lines += ["provider_installation {", "  filesystem_mirror {", f"    path = {json.dumps(mirror)}", "  }", "}"]
    path.write_text("\n".join(lines) + "\n")


@dataclass(frozen=True)
class Terraform:
    """Runs Terraform in a folder.

    Nothing of the user's own configuration is read: CLI configuration, plugin folders and workspace come from here.

    Attributes:
        scratch: folder for the CLI configuration and, without a mirror, the shared provider cache.
        env: variables added to every run, such as those of ``MotoServer.env``.
    """

    scratch: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def with_env(self, env: Mapping[str, str]) -> "Terraform":
        """Return a copy that adds variables to every run."""
        return Terraform(self.scratch, {**self.env, **env})

    def environment(self) -> dict[str, str]:
        """Return the variables a run gets: the caller's without its TF_ and AWS_ ones, then ours."""
        mirror = os.environ.get("TF_PLUGIN_MIRROR")
        config = self.scratch / "terraform.rc"
        if not config.exists():
            write_cli_config(config, mirror)
        env = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "AWS_", "ARM_"))}
        env |= NO_COLLECTOR
        env |= {"TF_CLI_CONFIG_FILE": str(config), "TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
        if not mirror:
            cache = self.scratch / "plugin-cache"
            cache.mkdir(exist_ok=True)
            env |= {"TF_PLUGIN_CACHE_DIR": str(cache), "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "1"}
        return env | dict(self.env)

    def run(
        self, args: list[str], cwd: Path, *, check: bool = True, success: tuple[int, ...] = (0,)
    ) -> subprocess.CompletedProcess[str]:
        """Run ``terraform *args`` in a folder.

        Raises:
            TerraformError: ``check`` is set and the exit code is not among those of ``success``.
            OverdueError: the run hangs.
        """
        done = processes.run(["terraform", *args], cwd=cwd, env=self.environment(), timeout_s=RUN_TIMEOUT_S)
        if check and done.returncode not in success:
            raise TerraformError(
                f"terraform {' '.join(args)} in {cwd}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def init(self, cwd: Path, *, backend: bool = True) -> None:
        """Install the providers and, unless told otherwise, set up the state backend."""
        self.run(["init", "-no-color", *([] if backend else ["-backend=false"])], cwd)

    def validate(self, cwd: Path) -> list[dict[str, Any]]:
        """Return the diagnostics of ``terraform validate``, errors and warnings; an empty list is a clean bill."""
        done = self.run(["validate", "-json", "-no-color"], cwd, check=False)
        diagnostics: list[dict[str, Any]] = json.loads(done.stdout)["diagnostics"]
        return diagnostics

    def plan(self, cwd: Path, *args: str) -> dict[str, Any]:
        """Plan and return the plan as JSON, in the format of ``terraform show -json``."""
        self.run(["plan", "-no-color", "-out=test.tfplan", *args], cwd)
        return self.show_json(cwd, "test.tfplan")

    def changes(self, cwd: Path) -> dict[str, list[str]]:
        """Plan and return address -> actions of every resource that would change; {} means nothing to do.

        Raises:
            TerraformError: there is no plan.
        """
        done = self.run(["plan", "-no-color", "-detailed-exitcode", "-out=test.tfplan"], cwd, success=(0, 2))
        if done.returncode == 0:
            # Printing a plan as JSON starts the provider once more.
            return {}
        return {
            change["address"]: change["change"]["actions"]
            for change in self.show_json(cwd, "test.tfplan").get("resource_changes", [])
            if change["change"]["actions"] != ["no-op"]
        }

    def apply(self, cwd: Path) -> None:
        """Create what the document asks for."""
        self.run(["apply", "-no-color", "-auto-approve"], cwd)

    def destroy(self, cwd: Path) -> None:
        """Destroy everything in the state."""
        self.run(["destroy", "-no-color", "-auto-approve"], cwd)

    def state(self, cwd: Path) -> list[str]:
        """Return the addresses in the state."""
        return self.run(["state", "list"], cwd).stdout.split()

    def show_json(self, cwd: Path, *args: str) -> dict[str, Any]:
        """Return the state, or the plan file named, as JSON."""
        shown: dict[str, Any] = json.loads(self.run(["show", "-json", "-no-color", *args], cwd).stdout)
        return shown
