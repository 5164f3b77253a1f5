"""A share of the fuzz of `make fuzz`: 2,000 cases of every kind of untrusted input, the same ones in every run."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.fuzz.leaves import KINDS, leaves
from tests.support.fuzz.strategies import STRATEGIES, Strategy
from tests.support.fuzz.values import near, valid


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name.replace(" ", "-"))
def test_no_case_breaks_an_invariant(strategy: Strategy, tmp_path: Path) -> None:
    @settings(
        max_examples=strategy.in_ci,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy.cases)
    def check(case: Any) -> None:
        strategy.judge(case, tmp_path)

    check()


def test_ci_runs_2_000_cases_and_make_fuzz_20_000() -> None:
    assert sum(strategy.in_ci for strategy in STRATEGIES) == 2000
    assert sum(strategy.per_20_000 for strategy in STRATEGIES) == 20_000


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_a_spec_has_strategies(kind: str) -> None:
    """A field of a new type fails here until it has a strategy."""
    for leaf in leaves(kind):
        valid(leaf)
        near(leaf)
