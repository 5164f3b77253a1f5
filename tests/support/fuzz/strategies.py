"""All strategies with their judges, and how many of 20,000 cases each gets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from tests.support.fuzz.configs import configs, judge_config, judge_planned_config
from tests.support.fuzz.documents import hostile_specs, near_specs, valid_specs
from tests.support.fuzz.files import (
    demand_files,
    judge_demand,
    judge_lock,
    judge_overlay,
    judge_text,
    locks,
    overlays,
    spec_texts,
)
from tests.support.fuzz.judge import judge_spec
from tests.support.fuzz.relations import judge_relation, judge_restriction, relations


class Strategy(NamedTuple):
    """A kind of input, the function that judges a case of it in a folder, and its share of all cases."""

    name: str
    cases: st.SearchStrategy[Any]
    judge: Callable[[Any, Path], object]
    per_20_000: int
    in_ci: int


STRATEGIES: Final = (
    Strategy("valid specs", valid_specs(), judge_spec, 2000, 20),
    Strategy("near-valid specs", near_specs(), judge_spec, 3000, 120),
    Strategy("hostile specs", hostile_specs(), judge_spec, 4000, 600),
    Strategy("texts of specs", spec_texts(), judge_text, 2000, 300),
    Strategy("configurations", configs(), judge_config, 3000, 400),
    Strategy("planned configurations", configs(), judge_planned_config, 500, 10),
    Strategy("locks", locks(), judge_lock, 3000, 350),
    Strategy("price files", overlays(), judge_overlay, 1000, 120),
    Strategy("demand files", demand_files(), judge_demand, 700, 60),
    Strategy("harder specs", relations(), judge_relation, 500, 14),
    Strategy("restricted searches", relations(), judge_restriction, 300, 6),
)
