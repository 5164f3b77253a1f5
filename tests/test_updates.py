"""Continued training: time and cost of one update, and of a year of updates."""

import re
from typing import Any

import pytest

from planner.compare.placements import compare_placements
from planner.compare.plan_diff import diff_plans
from planner.errors import InfeasibleError
from planner.plan.cost import UpdateCosts
from planner.plan.performance import TrainingPerformance
from planner.plan.plan import Plan
from planner.reliability.checkpoints import checkpoint_bytes
from planner.search.optimizer import plan
from planner.sizing.optimizer_state import StateRules
from planner.sizing.profile import ModelProfile
from planner.spec import TrainingWorkload
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from provider_catalog.on_prem import load_on_prem

MODEL = "huggyllama/llama-13b"


def planned(parts: dict[str, Any] | None = None, **workload: Any) -> Plan:
    document = {
        "name": "run",
        "model": MODEL,
        "workload": {
            "kind": "finetuning",
            "tokens": 2e9,
            "sequence_length": 2048,
            "global_batch_tokens": 1048576,
            "every_days": 30,
            **workload,
        },
        "placement": {"providers": ["aws"], "instance_types": ["p4d.24xlarge", "p5.48xlarge"]},
        **(parts or {}),
    }
    return plan(read_spec(document, "spec"), load_model(MODEL, None), Catalog.load())


def updates_of(decided: Plan) -> UpdateCosts:
    assert decided.updates is not None
    return decided.updates


def test_an_update_is_priced_by_its_hours_and_storage_by_the_month() -> None:
    decided = planned()
    updates, items = updates_of(decided), decided.cost.items
    assert isinstance(decided.performance, TrainingPerformance)
    assert updates.hours_by_part["train"] == pytest.approx(24 * decided.performance.days)
    assert updates.hours == pytest.approx(sum(updates.hours_by_part.values()))
    compute = sum(item.usd_per_hour or 0 for item in items if item.stack == "compute")
    standing = sum(item.usd_per_hour or 0 for item in items if item.stack != "compute")
    assert updates.usd_per_update == pytest.approx(compute * updates.hours)
    assert updates.standing_usd_per_month == pytest.approx(standing * 730)
    # A year has 365 / 30 updates, and 8,760 hours of storage.
    assert updates.usd_per_year == pytest.approx(compute * updates.hours * 365 / 30 + standing * 8760)
    assert updates.usd_per_month == pytest.approx((updates.usd_per_year or 0) / 12)
    # Nothing is committed for a year that is used for a few hours.
    assert [option.name for option in updates.options if option.chosen] == ["on-demand, for each update"]
    assert any("run-compute" in note and "destroy" in note for note in decided.notes)


def test_more_frequent_updates_cost_more_a_year_and_the_same_each() -> None:
    seldom, often = (
        updates_of(planned(every_days=60, deadline_days=5)),
        updates_of(planned(every_days=7, deadline_days=5)),
    )
    assert often.usd_per_update == pytest.approx(seldom.usd_per_update)
    assert (often.usd_per_year or 0) > (seldom.usd_per_year or 0)


def test_a_run_that_is_not_repeated_has_no_updates() -> None:
    assert planned(every_days=None).updates is None


def test_a_capacity_block_is_paid_for_its_term() -> None:
    decided = planned({"capacity": {"block": {"start": "2026-12-01", "days": 5}}})
    updates = updates_of(decided)
    block = next(item for item in decided.cost.items if item.role == "compute_capacity_block")
    assert updates.usd_per_update is not None
    assert updates.usd_per_update >= (block.usd_per_hour or 0) * 5 * 24


def test_spot_is_cheaper_where_interruption_is_tolerated() -> None:
    spot = updates_of(planned({"capacity": {"interruption": "tolerate"}}))
    assert (spot.usd_per_update or 0) < (updates_of(planned()).usd_per_update or 0)
    assert [option.name for option in spot.options if option.chosen] == ["Spot, for each update"]


def test_the_budget_of_a_month_is_held_against_its_updates() -> None:
    # The nodes cost tens of thousands of USD if they ran all month, and run a day of it.
    decided = planned({"budget": {"usd_per_month": 2500}})
    month = updates_of(decided).usd_per_month
    assert month is not None
    assert month <= 2500 < (decided.cost.usd_per_month or 0)
    with pytest.raises(InfeasibleError) as raised:
        planned({"budget": {"usd_per_month": 300}})
    assert raised.value.lacks == "budget"


def test_an_update_that_is_not_done_before_the_next() -> None:
    with pytest.raises(InfeasibleError) as raised:
        planned({"placement": {}, "pin": {"instance_type": "p4d.24xlarge", "nodes": 1}}, every_days=0.5)
    reason = raised.value.nearest[0].reason
    assert re.search(
        r"an update takes \S+ days, \S+ more than workload\.every_days \(0\.5\): \S+ times too long", reason
    )
    # Whatever is chosen leaves time for what is beside the training.
    tight = updates_of(planned(every_days=0.5))
    assert tight.hours <= 12


@pytest.mark.slow
def test_updates_are_compared_for_a_year_with_the_staff_that_takes_them_into_service() -> None:
    decided = planned()
    on_prem = load_on_prem(Catalog.load())
    found = compare_placements(decided.spec, load_model(MODEL, None), Catalog.load(), on_prem)
    assert found.period == "year"
    cloud = next(option for option in found.options if option.name == "aws")
    # BLS counts 2,080 hours of a member of staff a year.
    hours = 365 / 30 * on_prem.staff_hours_per_update.value
    staff = hours / 2080 * on_prem.staff_usd_per_year.value
    assert cloud.usd == pytest.approx((updates_of(decided).usd_per_year or 0) + staff, rel=1e-6)
    own = next(option for option in found.options if option.own and option.usd is not None)
    assert own.own_cost is not None
    assert staff < (own.usd or 0) < own.own_cost.total_usd


@pytest.mark.slow
def test_a_difference_between_plans_names_the_update() -> None:
    spot = planned({"capacity": {"interruption": "tolerate"}})
    rows = {row.what: row for row in diff_plans(planned(), spot).totals}
    assert (rows["update"].new_usd or 0) < (rows["update"].old_usd or 0)
    assert "update" not in {row.what for row in diff_plans(planned(every_days=None), planned(every_days=None)).totals}


@pytest.mark.parametrize(
    ("workload", "size_bytes"),
    [
        # LoRA (arXiv 2106.09685), section 4.2: 350 GB become 35 MB in 16 bits with rank 4 on queries and values; with
        # fp32 master weights and moments beside them it is 14 bytes a parameter instead of 2.
        ({}, 350e9 * 14 / 2),
        ({"method": "lora", "lora_rank": 4, "lora_targets": ("q_proj", "v_proj")}, 35e6 * 14 / 2),
    ],
)
def test_checkpoints_of_adapters_are_small(workload: dict[str, Any], size_bytes: float) -> None:
    architecture = load_model("openai/gpt3-175b", None)
    rules = StateRules.of(TrainingWorkload(kind="finetuning", tokens=1e8, **workload), architecture)
    assert checkpoint_bytes(ModelProfile.of(architecture), rules) == pytest.approx(size_bytes, rel=0.1)
