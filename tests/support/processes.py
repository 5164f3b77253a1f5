"""Programs that the tests start. Each ends within its time limit, and its children end with it."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path


class OverdueError(AssertionError):
    """A program did not end in time; the message carries the command and everything it printed."""


def run(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever its exit code.

    Raises:
        OverdueError: it took longer than `timeout_s`; it is gone then, with all that it started.
    """
    # Children that are left behind (Terraform's providers, those of npm) would hold on to the output, and to the cores.
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as running:
        try:
            stdout, stderr = running.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as late:
            kill_group(running)
            stdout, stderr = running.communicate()
            raise OverdueError(f"{' '.join(command)} in {cwd}: over {timeout_s:g} s\n{stdout}\n{stderr}") from late
        finally:
            kill_group(running)
    return subprocess.CompletedProcess(command, running.returncode, stdout, stderr)


def kill_group(running: "subprocess.Popen[str]") -> None:
    """Kill a program that was started in a session of its own, and all its children."""
    # The children may outlive the program.
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
