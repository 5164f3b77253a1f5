"""pytest plugin: a test that hangs fails, where it hangs, and the others go on.

pytest's own `faulthandler_exit_on_timeout` ends the worker instead, and xdist then gives the same test to the next one.
"""

import signal
import types
from collections.abc import Generator
from contextlib import contextmanager

import pytest

OPTION = "time_limit_s"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(OPTION, "Seconds after which a phase of a test (setup, call, teardown) fails", default="0")


@contextmanager
def _limit(item: pytest.Item) -> Generator[None, None, None]:
    limit_s = float(item.config.getini(OPTION))

    def fail(_: int, __: types.FrameType | None) -> None:
        pytest.fail(f"over {limit_s:g} s ({OPTION}); it hung where the traceback ends")

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    with _limit(item):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    with _limit(item):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    with _limit(item):
        return (yield)
