"""Runs the fuzz and prints cases, failures and the slowest cases of each strategy: `make fuzz`."""

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, Final

import click
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.support.fuzz.strategies import STRATEGIES, Strategy

LONGEST_S: Final = 5.0
"""Processor time of the longest plan that is accepted."""
SHOWN: Final = 600


class Result:
    """Cases, failures by kind, and the slowest cases of one strategy."""

    def __init__(self) -> None:
        self.cases = self.accepted = 0
        self.failures: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.slowest: list[tuple[float, str]] = []

    def record(self, case: Any, seconds: float, error: BaseException | None) -> None:
        """Counts a case; of each kind of failure the shortest case is kept."""
        shown = repr(case)
        if error is None and seconds > LONGEST_S:
            error = AssertionError(f"took more than {LONGEST_S:g} s")
        if error is not None:
            kind = _kind(error)
            self.failures[kind] += 1
            if kind not in self.examples or len(shown) < len(self.examples[kind]):
                self.examples[kind] = f"{shown[:SHOWN]}\n      {str(error)[:SHOWN]}"
        self.slowest = sorted([*self.slowest, (seconds, shown[:200])], reverse=True)[:3]


def _kind(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    if isinstance(error, AssertionError) or not frames:
        return f"{type(error).__name__}: {str(error)[:50]}"
    return f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}"


def fuzzed(strategy: Strategy, cases: int, number: int, folder: Path) -> Result:
    """Runs cases of one strategy without shrinking."""
    result = Result()

    @seed(number)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy.cases)
    def run(case: Any) -> None:
        started, error = time.process_time(), None
        try:
            result.accepted += bool(strategy.judge(case, folder))
        except Exception as raised:  # every failure is a finding
            error = raised
        result.cases += 1
        result.record(case, time.process_time() - started, error)

    run()
    return result


def main() -> int:
    """Runs all strategies, or those whose name contains a word; returns 1 after any failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for strategy in STRATEGIES:
            if options.only not in strategy.name:
                continue
            cases = max(1, strategy.per_20_000 * options.cases // 20_000)
            started = time.process_time()
            result = fuzzed(strategy, cases, options.seed, Path(folder))
            seconds = time.process_time() - started
            failed += sum(result.failures.values())
            click.echo(
                f"{strategy.name:24} {result.cases:6} cases, {result.accepted:6} accepted,"
                f" {sum(result.failures.values()):5} failures, {seconds:7.1f} s,"
                f" slowest {result.slowest[0][0] if result.slowest else 0:.2f} s"
            )
            for kind, count in result.failures.most_common():
                click.echo(f"  {count:5} x {kind}\n      {result.examples[kind]}")
            for took, case in result.slowest[:1]:
                click.echo(f"  slowest, {took:.2f} s: {case}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
