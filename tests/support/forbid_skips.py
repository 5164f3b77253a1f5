"""pytest plugin: with CI=true and LLMCLUSTER_FORBID_SKIPS=1 a skipped test is a failed one.

On a laptop without Terraform a skip is honest; in the gate it would hide that nothing was validated.
"""

import os
from collections.abc import Generator

import pytest


def _forbidden() -> bool:
    return os.environ.get("CI") == "true" and os.environ.get("LLMCLUSTER_FORBID_SKIPS") == "1"


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"skipping is not allowed in this run (LLMCLUSTER_FORBID_SKIPS=1): {reason}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _forbidden():
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped and _forbidden():
        _fail(report)
    return report
