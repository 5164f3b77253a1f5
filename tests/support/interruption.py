"""An apply that is stopped at a certain request to the local AWS, because a timer would hit another one each time."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from werkzeug.exceptions import ServiceUnavailable

from tests.support.processes import kill_group
from tests.support.terraform import Terraform

PATIENCE_S = 300


@contextmanager
def answered(owner: type, operation: str) -> Iterator[threading.Event]:
    """Yield an event that is set when an operation of moto's backend `owner` has been carried out."""
    event, original = threading.Event(), getattr(owner, operation)

    def then_tell(*args: Any, **kwargs: Any) -> Any:
        made = original(*args, **kwargs)
        event.set()
        return made

    with mock.patch.object(owner, operation, then_tell):
        yield event


@contextmanager
def paused(owner: type, operation: str, after: threading.Event) -> Iterator[threading.Event]:
    """An event that is set when an operation of moto's backend `owner` is asked for once `after` is set.

    Whoever asks waits until the block ends, and is then answered.
    """
    event, over = threading.Event(), threading.Event()
    original = getattr(owner, operation)

    def wait_and_answer(*args: Any, **kwargs: Any) -> Any:
        if after.is_set():
            event.set()
            over.wait(PATIENCE_S)
        return original(*args, **kwargs)

    with mock.patch.object(owner, operation, wait_and_answer):
        try:
            yield event
        finally:
            over.set()


@contextmanager
def held(owner: type, operation: str) -> Iterator[threading.Event]:
    """An event that is set when an operation of moto's backend `owner` is asked for.

    Nothing is carried out: whoever asks waits until the block ends, and is then refused.
    """
    event, over = threading.Event(), threading.Event()

    def wait_and_refuse(*_: Any, **__: Any) -> Any:
        event.set()
        over.wait(PATIENCE_S)
        raise ServiceUnavailable

    with mock.patch.object(owner, operation, wait_and_refuse):
        try:
            yield event
        finally:
            over.set()


class Apply:
    """A running `terraform apply` that makes one resource after the other.

    When the request for a resource goes out, all resources before it are in the state.
    """

    def __init__(self, tf: Terraform, folder: Path) -> None:
        self._log = folder / "apply.log"
        with self._log.open("w") as log:
            # A session of its own: with Terraform its providers are killed, which would go on for a while.
            self._running = subprocess.Popen(
                ["terraform", "apply", "-no-color", "-auto-approve", "-parallelism=1"],
                cwd=folder,
                env=tf.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def wait_for(self, event: threading.Event) -> None:
        """Returns when the event is set.

        Raises:
            AssertionError: Terraform ended before, with what it printed.
        """
        try:
            for _ in range(PATIENCE_S * 10):
                if event.wait(0.1):
                    return
                assert self._running.poll() is None, f"terraform ended too early:\n{self._log.read_text()}"
            raise AssertionError(f"nothing came of it in {PATIENCE_S} s:\n{self._log.read_text()}")
        except BaseException:
            self.kill()
            raise

    def interrupt(self) -> None:
        """Send SIGINT as Ctrl-C does: Terraform finishes the current request, writes the state and stops."""
        self._running.send_signal(signal.SIGINT)

    def end(self) -> None:
        """Wait for the end of an apply that was interrupted."""
        try:
            code = self._running.wait(PATIENCE_S)
        finally:
            self.kill()
        assert code == 1, f"terraform was not interrupted:\n{self._log.read_text()}"

    def kill(self) -> None:
        """Kill Terraform and its providers, as a machine that goes down does; they write nothing more."""
        kill_group(self._running)
        self._running.wait()
