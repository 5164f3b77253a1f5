"""Schedules of serving fleets: what runs at which hour, what the bill counts, and which bounds are refused."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import SpecError
from planner.plan.choice import ScheduledAction
from planner.plan.plan import Plan
from planner.purchase.mix import BUSINESS_HOURS, serving_mix
from planner.purchase.schedule import (
    LEAD_MIN,
    MOST_ACTIONS,
    WEEK_MIN,
    WeeklySchedule,
    hourly_units,
    schedule_of,
    week_of,
)
from planner.search.optimizer import plan
from planner.spec import Capacity
from planner.spec.reader import read_spec
from planner.workspace.specs import load_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from stacks.estimate.documents import Resource, Resources
from stacks.estimate.schedules import NotWeeklyError, levels
from tests.support.offers import offers

MODEL = "Qwen/Qwen2.5-7B"
SPEC: dict[str, Any] = {
    "name": "chat",
    "model": MODEL,
    "workload": {"kind": "inference", "request_rate_per_s": 40},
    "placement": {"providers": ["aws"], "instance_types": ["g6e.xlarge"]},
}
TOKYO: dict[str, Any] = {"demand": "business-hours", "time_zone": "Asia/Tokyo"}


def planned(**changes: Any) -> Plan:
    spec = read_spec({**SPEC, **changes}, "test")
    return plan(spec, load_model(MODEL), Catalog.load())


def schedule(fractions: Sequence[float], units: int, *, spare: int = 0, least: int = 0) -> WeeklySchedule:
    return schedule_of(hourly_units(week_of(tuple(fractions)), units, spare, least), 0, units)


def running_at(scheduled: WeeklySchedule, minute: int) -> int:
    """Return the nodes of a schedule at a minute of the week, found step by step."""
    nodes = scheduled.steps[-1].nodes if scheduled.steps else scheduled.first_nodes
    for step in scheduled.steps:
        if step.minute <= minute:
            nodes = step.nodes
    return nodes


def billed_levels(actions: Sequence[ScheduledAction]) -> float:
    """Return the mean that the estimate finds in the Terraform resources of these actions."""
    group = Resource("aws_autoscaling_group.g", "aws_autoscaling_group", "s", {}, frozenset())
    scheduled = [
        Resource(
            f"aws_autoscaling_schedule.a{index}",
            "aws_autoscaling_schedule",
            "s",
            {"recurrence": action.recurrence, "desired_capacity": action.nodes},
            frozenset({group.address}),
        )
        for index, action in enumerate(actions)
    ]
    found = levels(group, Resources((group, *scheduled), (), None, None))
    return sum(level.nodes * level.share for level in found)


# Schedules


def test_office_hours_are_two_actions_and_nodes_start_before_the_office() -> None:
    scheduled = schedule(BUSINESS_HOURS, 4)
    assert [(action.recurrence, action.nodes) for action in scheduled.actions()] == [
        ("45 7 * * 1-5", 4),
        ("0 20 * * 1-5", 1),
    ]
    # 12 hours and a quarter on five days run four nodes, all others one.
    assert scheduled.mean_nodes == pytest.approx((61.25 * 4 + (168 - 61.25) * 1) / 168)


def test_a_day_repeats_every_day() -> None:
    scheduled = schedule([0.5] * 12 + [1.0] * 12, 4)
    assert [(action.recurrence, action.nodes) for action in scheduled.actions()] == [
        ("0 0 * * *", 2),
        ("45 11 * * *", 4),
    ]
    assert scheduled.mean_nodes == pytest.approx((11.75 * 2 + 12.25 * 4) / 24)


def test_a_weekend_is_written_in_the_days_of_cron_whose_week_begins_on_sunday() -> None:
    weekend = [0.5] * 120 + [1.0] * 48
    # It starts on Friday, a quarter of an hour before Saturday.
    assert [(action.recurrence, action.nodes) for action in schedule(weekend, 2).actions()] == [
        ("0 0 * * 1", 1),
        ("45 23 * * 5", 2),
    ]
    two_days = [1.0 if hour // 24 in (5, 6) and hour % 24 == 9 else 0.5 for hour in range(168)]
    assert schedule(two_days, 2).actions()[0].recurrence == "45 8 * * 0,6"


def test_an_hour_of_the_week_has_its_highest_demand_in_the_year() -> None:
    year = [0.2] * 8760
    year[9 + 168 * 30] = 1.0  # one Monday in July
    scheduled = schedule(year, 10)
    assert [(action.recurrence, action.nodes) for action in scheduled.actions()] == [
        ("45 8 * * 1", 10),
        ("0 10 * * 1", 2),
    ]


def test_times_in_a_trace_say_which_hour_of_the_week_they_are(tmp_path: Path) -> None:
    # 2026-01-01 is a Thursday; the trace has one busy hour, 9 h UTC of Monday 2026-07-06, which is 18 h in Tokyo.
    start, busy = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 6, 9, tzinfo=UTC)
    times = [start + timedelta(hours=hour) for hour in range(8760)]
    rows = "".join(f"{time.isoformat()},{10 if time == busy else 1}\n" for time in times)
    (tmp_path / "year.csv").write_text(f"hour,demand\n{rows}")
    capacity = "{demand: year.csv, time_zone: Asia/Tokyo, reservation: none}"
    (tmp_path / "chat.yaml").write_text(
        f"name: chat\nmodel: {MODEL}\nworkload: {{kind: inference}}\ncapacity: {capacity}\n"
    )
    spec = load_spec(tmp_path / "chat.yaml").spec
    assert spec.capacity.first_hour == 3 * 24 + 9
    mix = serving_mix(10, 1, spec.capacity, offers(), scaler="schedule")
    assert mix is not None
    assert [(action.recurrence, action.nodes) for action in mix.schedule["on_demand"].actions()] == [
        ("45 17 * * 1", 10),
        ("0 19 * * 1", 1),
    ]


def test_a_demand_that_never_needs_fewer_whole_nodes_has_no_schedule() -> None:
    assert schedule([0.6] * 12 + [1.0] * 12, 2).actions() == ()
    assert schedule([0.6] * 12 + [1.0] * 12, 2).mean_nodes == 2


def test_spare_nodes_and_the_smallest_number_run_at_every_hour() -> None:
    night = [0.0] * 12 + [1.0] * 12
    assert [action.nodes for action in schedule(night, 6).actions()] == [0, 6]
    assert [action.nodes for action in schedule(night, 6, spare=1).actions()] == [1, 6]
    assert [action.nodes for action in schedule(night, 6, least=3).actions()] == [3, 6]


@given(
    fractions=st.lists(st.sampled_from([n / 97 for n in range(97)]), min_size=167, max_size=167),
    units=st.integers(1, 200),
    below=st.integers(0, 50),
)
def test_a_schedule_fits_into_a_group_and_never_runs_fewer_nodes_than_the_demand(
    fractions: list[float], units: int, below: int
) -> None:
    hourly = hourly_units(week_of((1.0, *fractions)), units, 0, 0)
    scheduled = schedule_of(hourly, below, max(units - below, 0))
    actions = scheduled.actions()
    assert len(actions) <= MOST_ACTIONS
    assert len({action.recurrence for action in actions}) == len(actions)
    for hour, needed in enumerate(hourly):
        wanted = min(max(needed - below, 0), max(units - below, 0))
        for minute in (hour * 60 - LEAD_MIN, hour * 60, hour * 60 + 59):
            assert running_at(scheduled, minute % WEEK_MIN) >= (wanted if minute >= hour * 60 else 0)
        assert running_at(scheduled, (hour * 60 - 1) % WEEK_MIN) >= wanted
    # The estimate reads the cron expressions by code of its own.
    if actions:
        assert billed_levels(actions) == pytest.approx(scheduled.mean_nodes)


def test_too_many_steps_are_merged_upwards_where_it_costs_least() -> None:
    # 168 different hours: a saw of 84 teeth that all differ.
    saw = [(100 - hour / 2 if hour % 2 else 200 + hour / 2) / 283.0 for hour in range(168)]
    exact = hourly_units(week_of(tuple(saw)), 283, 0, 0)
    scheduled = schedule_of(exact, 0, 283)
    assert len(scheduled.actions()) == MOST_ACTIONS
    mean = sum(max(now, later) * 0.25 + now * 0.75 for now, later in zip(exact, [*exact[1:], exact[0]], strict=True))
    assert mean / 168 < scheduled.mean_nodes < max(exact)


# Purchase


def test_the_bill_counts_the_hours_that_the_schedule_runs() -> None:
    capacity = Capacity(demand=(0.25,) * 12 + (1.0,) * 12, reservation="none", interruption="tolerate")
    mix = serving_mix(8, 1, capacity, offers(spot=1.0), scaler="schedule")
    assert mix is not None
    assert (mix.purchase.spot_nodes, mix.purchase.on_demand_nodes) == (4, 4)
    assert mix.mean_on_demand_nodes == pytest.approx(4 * 12.25 / 24)
    assert mix.mean_spot_nodes == pytest.approx((2 * 11.75 + 4 * 12.25) / 24 * (1 + mix.spot_restart_share))


def test_a_gang_is_not_scaled_by_parts_and_is_billed_at_every_hour() -> None:
    capacity = Capacity(demand="business-hours", reservation="none")
    scaled = serving_mix(8, 2, capacity, offers(), scaler="nothing")
    assumed = serving_mix(8, 2, capacity, offers(), scaler="unknown")
    assert scaled is not None and assumed is not None
    assert scaled.mean_on_demand_nodes == 8
    assert scaled.schedule == {}
    assert assumed.mean_on_demand_nodes < 8


def test_spare_replicas_run_at_every_hour_of_the_schedule() -> None:
    capacity = Capacity(demand=(0.0,) * 12 + (1.0,) * 12, reservation="none")
    mix = serving_mix(5, 1, capacity, offers(), scaler="schedule", spare_nodes=2)
    assert mix is not None
    assert mix.schedule["on_demand"].least_nodes == 2


# Plans


@pytest.mark.slow
def test_a_plan_names_its_schedule_and_what_brings_it_about() -> None:
    made = planned(capacity=TOKYO)
    scaling, bought = made.autoscaling, made.choice.purchase
    assert scaling is not None and scaling.time_zone == "Asia/Tokyo"
    (actions,) = scaling.schedule.values()
    assert [action.recurrence for action in actions] == ["45 7 * * 1-5", "0 20 * * 1-5"]
    assert scaling.min_nodes == bought.reserved_nodes + min(action.nodes for action in actions)
    billed = made.cost.usage.running_share["on_demand"] * bought.on_demand_nodes
    assert scaling.mean_nodes == pytest.approx(bought.reserved_nodes + billed)
    (note,) = [note for note in made.notes if "scheduled actions" in note]
    assert "Asia/Tokyo" in note and f"of {bought.on_demand_nodes} on-demand nodes" in note


@pytest.mark.slow
def test_slurm_says_that_jobs_decide_and_needs_no_time_zone() -> None:
    made = planned(orchestrator="slurm", capacity={"demand": "business-hours"})
    assert made.autoscaling is not None and not made.autoscaling.schedule
    assert any("10 idle minutes" in note for note in made.notes)


@pytest.mark.slow
def test_replicas_of_several_nodes_run_at_every_hour() -> None:
    made = planned(
        workload={"kind": "inference", "request_rate_per_s": 1},
        pin={"instance_type": "p4d.24xlarge", "nodes": 4, "layout": {"tensor": 4, "pipeline": 4, "data": 2}},
        placement={"providers": ["aws"]},
        capacity={"demand": "business-hours", "reservation": "none"},
    )
    assert made.autoscaling is None
    assert made.cost.usage.running_share == {"on_demand": 1.0}
    assert any("all 4 nodes run at every hour" in note for note in made.notes)


# Bad input


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capacity": {"demand": "business-hours"}}, r"capacity.time_zone: missing.*America/New_York"),
        ({"capacity": {**TOKYO, "min_nodes": 99}}, r"capacity.min_nodes is 99.*give at most \d+"),
        (
            {
                "orchestrator": "kubernetes",
                "kubernetes": {"initial_nodes": 99},
            },
            r"kubernetes.initial_nodes is 99, but the plan has (\d+) nodes; give at most \1",
        ),
        ({"orchestrator": "slurm", "capacity": {**TOKYO, "min_nodes": 1}}, "capacity.min_nodes.*Slurm"),
        (
            {"capacity": {**TOKYO, "min_nodes": 1, "reservation": {"id": "cr-0123456789abcdef0"}}},
            r"capacity.min_nodes is 1, but all \d+ nodes of the plan run at every hour; leave",
        ),
        (
            {"placement": {"providers": ["azure"]}, "capacity": {**TOKYO, "min_nodes": 1}},
            "capacity.min_nodes: not supported on Microsoft Azure",
        ),
    ],
)
def test_a_plan_refuses_what_no_schedule_can_do(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        planned(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capacity": {"time_zone": "America/New_Yrok"}}, "did you mean 'America/New_York'"),
        ({"capacity": {"time_zone": "localtime"}}, "IANA"),
        ({"capacity": {"time_zone": "UTC+1"}}, "IANA"),
        ({"capacity": {"time_zone": "../etc/passwd"}}, "time_zone"),
        ({"capacity": {"min_nodes": 1}}, "capacity.demand is constant"),
        ({"capacity": {**TOKYO, "min_nodes": 5}, "pin": {"nodes": 4}}, "pin.nodes is 4; give at most 4"),
        (
            {"capacity": {**TOKYO, "min_nodes": 5}, "placement": {"max_nodes": 4}},
            "placement.max_nodes is 4; give at most 4",
        ),
        (
            {"orchestrator": "kubernetes", "kubernetes": {"initial_nodes": 3}, "pin": {"nodes": 2}},
            "kubernetes.initial_nodes is 3, but pin.nodes is 2",
        ),
    ],
)
def test_a_spec_refuses_bounds_that_contradict_each_other(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        read_spec({**SPEC, **changes}, "test")


# The estimate


def action(recurrence: str, **arguments: Any) -> Resource:
    return Resource(
        f"aws_autoscaling_schedule.{abs(hash(recurrence))}",
        "aws_autoscaling_schedule",
        "s",
        {"recurrence": recurrence, **arguments},
        frozenset({"aws_autoscaling_group.g"}),
    )


GROUP = Resource("aws_autoscaling_group.g", "aws_autoscaling_group", "s", {}, frozenset())


def mean(*actions: Resource) -> float:
    found = levels(GROUP, Resources((GROUP, *actions), (), None, None))
    return sum(level.nodes * level.share for level in found)


@pytest.mark.parametrize(
    ("actions", "nodes"),
    [
        ([action("0 8 * * MON-FRI", desired_capacity=4), action("0 20 * * MON-FRI", desired_capacity=0)], 4 * 60 / 168),
        ([action("0 */12 * * *", desired_capacity=3)], 3),
        ([action("0,15,30,45 * * * *", desired_capacity=-1, min_size=5)], 5),
        # Both Sundays of cron
        ([action("0 0 * * 0", desired_capacity=7), action("0 0 * * 1", desired_capacity=0)], 1),
        ([action("0 0 * * 7", desired_capacity=7), action("0 0 * * 1", desired_capacity=0)], 1),
        (
            [action("30 6 * * 2,4", desired_capacity=2), action("30 18 * * 2,4", desired_capacity=1)],
            (2 * 24 + 144) / 168,
        ),
        ([], 0),
    ],
)
def test_recurrences_are_added_up_over_a_week(actions: list[Resource], nodes: float) -> None:
    assert mean(*actions) == pytest.approx(nodes)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (action("0 8 1 * *", desired_capacity=4), "not weekly"),
        (action("0 8 * *", desired_capacity=4), "not weekly"),
        (action("0 25 * * *", desired_capacity=4), "25 is not a valid hour"),
        (action("0 8 * * FUN", desired_capacity=4), "day of the week"),
        (action("0 8 * * 5-1", desired_capacity=4), "5-1"),
        (action("0 8 * * *", desired_capacity=-1), "sets no number of nodes"),
    ],
)
def test_a_recurrence_that_says_nothing_about_a_week_is_named(wrong: Resource, message: str) -> None:
    with pytest.raises(NotWeeklyError, match=message):
        mean(wrong)


def test_two_numbers_at_the_same_time_are_named() -> None:
    with pytest.raises(NotWeeklyError, match="another number at the same time"):
        mean(action("0 8 * * *", desired_capacity=4), action("0 8 * * 1", desired_capacity=2))
