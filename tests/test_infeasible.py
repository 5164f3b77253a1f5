"""A training spec that no cluster satisfies is refused with the nearest plans, each with one constraint relaxed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from llmcluster.cli import cli
from planner.errors import InfeasibleError, NearestPlan
from planner.plan.performance import TrainingPerformance
from planner.relax.decide import decide
from planner.search.optimizer import plan
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model

MODEL = "meta-llama/Meta-Llama-3.1-8B"
RUN: dict[str, Any] = {
    "name": "run",
    "model": MODEL,
    "workload": {"kind": "training", "tokens": 1e11, "sequence_length": 8192, "global_batch_tokens": 1048576},
    "placement": {"providers": ["aws"], "instance_types": ["p5.48xlarge", "p4d.24xlarge", "g6e.xlarge"]},
}


def changed(**parts: dict[str, Any]) -> dict[str, Any]:
    return {**RUN, **{part: {**RUN.get(part, {}), **fields} for part, fields in parts.items()}}


def refused(document: dict[str, Any]) -> InfeasibleError:
    spec = read_spec(document, "spec")
    architecture = load_model(document["model"], None)
    with pytest.raises(InfeasibleError) as raised:
        decide(spec, architecture, Catalog.load())
    return raised.value


def by_field(error: InfeasibleError) -> dict[str, NearestPlan]:
    return {found.field: found for found in error.plans}


def test_a_deadline_that_cannot_be_met_is_refused_with_the_nearest_plans() -> None:
    error = refused(changed(workload={"deadline_days": 1}, placement={"max_nodes": 4}))
    assert error.lacks == "time"
    found = by_field(error)
    later, more, fewer = (
        found[field] for field in ("workload.deadline_days", "placement.max_nodes", "workload.tokens")
    )
    assert later.days is not None
    assert later.nodes <= 4
    assert f"the fastest takes {later.days:.3g} days" in str(error)
    assert f"{later.days:.2g} times what workload.deadline_days (1) allows" in str(error)
    assert more.nodes > 4
    assert isinstance(fewer.needed, float)
    # A run of fewer tokens is shorter in proportion.
    assert fewer.needed == pytest.approx(1e11 / later.days, rel=0.1)


@pytest.mark.parametrize(
    ("workload", "placement"),
    [({"deadline_days": 1}, {"max_nodes": 4}), ({"deadline_days": 0.2}, {"instance_types": ["g6e.xlarge"]})],
)
def test_a_plan_with_the_suggested_change_is_feasible(workload: dict[str, Any], placement: dict[str, Any]) -> None:
    document = changed(workload=workload, placement=placement)
    for found in refused(document).plans:
        part, field = found.field.split(".")
        needed: Any = found.needed if found.needed is not None else []
        relaxed = {**document, part: {**document.get(part, {}), field: needed}}
        decided = plan(read_spec(relaxed, "spec"), load_model(MODEL, None), Catalog.load())
        assert isinstance(decided.performance, TrainingPerformance)
        assert decided.performance.days <= relaxed["workload"]["deadline_days"]
        assert field in found.change


@pytest.mark.slow
def test_the_fastest_that_is_named_is_the_fastest() -> None:
    error = refused(
        {
            "name": "spec",
            "model": "meta-llama/Meta-Llama-3.1-8B",
            "workload": {"kind": "finetuning", "tokens": 1e13, "every_days": 1},
            "placement": {"providers": ["aws"]},
        }
    )
    named = re.search(r"the fastest takes ([\d.]+) days", str(error))
    assert named is not None
    others = [
        re.search(r"takes ([\d.]+) days, [\d.]+ more than the deadline", near_miss.reason)
        for near_miss in error.nearest
    ]
    assert float(named.group(1)) == min(float(found.group(1)) for found in others if found is not None)


@pytest.mark.slow
def test_a_budget_that_is_too_small_is_refused_with_the_nearest_plans() -> None:
    error = refused(changed(workload={"deadline_days": 10}, budget={"usd_per_month": 20_000}))
    assert error.lacks == "budget"
    found = by_field(error)
    dearer = found["budget.usd_per_month"]
    assert dearer.usd_per_month is not None
    assert isinstance(dearer.needed, float)
    # Holding the budget at what is said to suffice gives that plan.
    document = changed(workload={"deadline_days": 10}, budget={"usd_per_month": dearer.needed + 0.01})
    decided = plan(read_spec(document, "spec"), load_model(MODEL, None), Catalog.load())
    assert decided.cost.usd_per_month == pytest.approx(dearer.usd_per_month)
    assert f"costs {dearer.usd_per_month:,.0f} USD a month, {dearer.usd_per_month - 20_000:,.0f} more" in str(error)
    later = found["workload.deadline_days"]
    assert later.usd_per_month is not None
    assert later.usd_per_month <= 20_000
    assert later.days is not None
    assert later.days > 10


@pytest.mark.slow
def test_a_budget_bound_spares_no_machine_that_would_have_served() -> None:
    # What is ruled out by a bound on its month is over the budget when it is priced, too.
    document = changed(workload={"deadline_days": 10}, placement={"instance_types": "any"})
    architecture, catalog = load_model(MODEL, None), Catalog.load()
    free = plan(read_spec(document, "spec"), architecture, catalog)
    months = [free.cost.usd_per_month, *(option.usd_per_month for option in free.alternatives)]
    least = min(usd for usd in months if usd is not None)
    bounded = read_spec({**document, "budget": {"usd_per_month": least + 1}}, "spec")
    assert plan(bounded, architecture, catalog).cost.usd_per_month == pytest.approx(least, rel=1e-6)


def test_a_pinned_run_that_is_late_may_still_be_within_the_budget() -> None:
    document = {**RUN, "placement": {}, "pin": {"instance_type": "p5.48xlarge", "nodes": 1}}
    document["workload"] = {**RUN["workload"], "deadline_days": 1}
    architecture, catalog = load_model(MODEL, None), Catalog.load()
    month = plan(read_spec(document, "spec"), architecture, catalog).cost.usd_per_month
    assert month is not None
    bounded = read_spec({**document, "budget": {"usd_per_month": month + 1}}, "spec")
    assert plan(bounded, architecture, catalog).cost.usd_per_month == month


def test_a_model_that_does_not_fit_is_refused_with_the_memory_it_needs() -> None:
    document = changed(
        workload={"kind": "finetuning", "tokens": 1e8},
        placement={"instance_types": ["g6e.xlarge"], "max_nodes": 1},
    )
    error = refused(document)
    assert error.lacks == "memory"
    assert "it does not fit" in str(error)
    assert "times the usable memory" in str(error)
    assert "needs" in error.nearest[0].reason
    assert "GiB" in error.nearest[0].reason
    found = by_field(error)
    # 16 GB of bf16 weights and their adapters on 48 GB (torchtune README.md: Llama 3.1 8B LoRA in 30 GiB on one A6000)
    assert found["workload.method"].needed == "lora"
    assert found["placement.instance_types"].needed == "any"


def test_more_scratch_than_any_machine_has_is_refused() -> None:
    error = refused(changed(storage={"scratch_gb": 900_000}, placement={"instance_types": "any"}))
    assert by_field(error)["storage.scratch_gb"].needed is not None


def test_a_pinned_cluster_that_is_late_says_what_would_help() -> None:
    document = {**RUN, "placement": {}, "pin": {"instance_type": "p5.48xlarge", "nodes": 1}}
    document["workload"] = {**RUN["workload"], "deadline_days": 2}
    spec = read_spec(document, "spec")
    decided, nearest = decide(spec, load_model(MODEL, None), Catalog.load())
    assert any("workload.deadline_days is 2" in note for note in decided.notes)
    fields = {found.field for found in nearest}
    assert {"workload.deadline_days", "pin.nodes", "workload.tokens"} <= fields


def test_the_command_line_gives_the_nearest_plans_as_data(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(changed(workload={"deadline_days": 1}, placement={"max_nodes": 4})))
    finished = CliRunner().invoke(cli, ["plan", str(spec), "--json"])
    assert finished.exit_code == 3
    error = json.loads(finished.stdout)["error"]
    assert (error["exit_code"], error["kind"], error["lacks"]) == (3, "infeasible", "time")
    nearest = {found["field"]: found for found in error["nearest_plans"]}
    assert nearest["workload.deadline_days"]["needed"] > 1
    assert nearest["workload.deadline_days"]["change"] in finished.stderr
    assert finished.stderr.startswith("infeasible: no cluster carries 'run'")
    spec.write_text("name: run\n")
    finished = CliRunner().invoke(cli, ["plan", str(spec), "--json"])
    assert (finished.exit_code, json.loads(finished.stdout)["error"]["exit_code"]) == (2, 2)


@pytest.mark.slow
def test_a_budget_per_run_refuses_with_the_amount_that_is_missing() -> None:
    document = changed(workload={"deadline_days": 10})
    architecture, catalog = load_model(MODEL, None), Catalog.load()
    free = plan(read_spec(document, "spec"), architecture, catalog).cost.usd_per_run
    assert free is not None
    error = refused({**document, "budget": {"usd_per_run": free / 2}})
    assert error.lacks == "budget"
    assert (
        f"costs {free:,.0f} USD for the run, {free / 2:,.0f} more than the budget of {free / 2:,.0f} (2 times)"
        in str(error)
    )
    dearer = by_field(error)["budget.usd_per_run"]
    assert dearer.given == free / 2
    # What is said to suffice does, and is the least that does: to the cent.
    assert dearer.needed == pytest.approx(free, abs=0.01)
    enough = read_spec({**document, "budget": {"usd_per_run": dearer.needed}}, "spec")
    assert plan(enough, architecture, catalog).cost.usd_per_run == pytest.approx(free)
    fewer = by_field(error)["workload.tokens"]
    assert fewer.usd_per_run is not None
    assert fewer.usd_per_run <= free / 2


def test_more_time_helps_where_a_run_costs_too_much() -> None:
    # More nodes scale less than linearly, so that a longer run is a cheaper one.
    document = changed(workload={"deadline_days": 1}, placement={"instance_types": ["p5.48xlarge"]})
    architecture, catalog = load_model(MODEL, None), Catalog.load()
    hurried, slow = (
        plan(read_spec(changed(workload={"deadline_days": days}, placement=document["placement"]), "spec"),
             architecture, catalog).cost.usd_per_run
        for days in (1, 100)
    )  # fmt: skip
    assert hurried is not None
    assert slow is not None
    budget = (hurried + slow) / 2
    later = by_field(refused({**document, "budget": {"usd_per_run": budget}}))["workload.deadline_days"]
    assert later.days is not None
    assert later.days > 1
    assert later.usd_per_run is not None
    assert later.usd_per_run <= budget


def test_of_two_budgets_the_one_that_is_missed_most_is_named() -> None:
    document = changed(workload={"deadline_days": 10}, budget={"usd_per_run": 1e9, "usd_per_month": 20_000})
    error = refused(document)
    assert "USD a month" in str(error)
    assert "budget.usd_per_run" not in by_field(error)
    # Both at once: none is enough alone.
    both = by_field(refused({**document, "budget": {"usd_per_run": 10, "usd_per_month": 20_000}}))
    assert not {"budget.usd_per_run", "budget.usd_per_month"} & set(both)


@pytest.mark.slow
def test_an_update_is_the_run_of_continued_training() -> None:
    document = changed(workload={"tokens": 1e9, "every_days": 30})
    architecture, catalog = load_model(MODEL, None), Catalog.load()
    updates = plan(read_spec(document, "spec"), architecture, catalog).updates
    assert updates is not None
    assert updates.usd_per_update is not None
    error = refused({**document, "budget": {"usd_per_run": updates.usd_per_update / 2}})
    assert f"costs {updates.usd_per_update:,.0f} USD an update" in str(error)
    assert by_field(error)["budget.usd_per_run"].needed == pytest.approx(updates.usd_per_update, abs=0.01)


def test_a_budget_per_run_is_also_an_option_of_the_command_line(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(changed(workload={"deadline_days": 10})))
    finished = CliRunner().invoke(cli, ["plan", str(spec), "--json", "--max-usd-per-run", "100"])
    assert finished.exit_code == 3
    assert json.loads(finished.stdout)["error"]["lacks"] == "budget"
    assert "budget.usd_per_run:" in finished.stderr
    unbounded = CliRunner().invoke(cli, ["plan", str(spec), "--json"])
    bounded = CliRunner().invoke(cli, ["plan", str(spec), "--json", "--max-usd-per-run", "1e9"])
    assert bounded.stdout == unbounded.stdout
    serving = {"name": "chat", "model": MODEL, "workload": {"kind": "inference"}}
    spec.write_text(yaml.safe_dump(serving))
    finished = CliRunner().invoke(cli, ["plan", str(spec), "--max-usd-per-run", "100"])
    assert finished.exit_code == 2
    assert "--max-usd-per-month" in finished.stderr
    spec.write_text(yaml.safe_dump({**serving, "budget": {"usd_per_run": 100}}))
    finished = CliRunner().invoke(cli, ["plan", str(spec)])
    assert finished.exit_code == 2
    assert "budget.usd_per_run is 100, but workload.kind is inference" in finished.stderr


def test_no_pinned_number_of_nodes_is_faster_than_the_deadline_that_is_named() -> None:
    document = changed(workload={"deadline_days": 0.5}, placement={"max_nodes": 16})
    named = by_field(refused(document))["workload.deadline_days"]
    for instance_type in document["placement"]["instance_types"][:2]:
        for nodes in (4, 8, 12, 15, 16):
            pin = {"instance_type": instance_type, "nodes": nodes}
            pinned = plan(read_spec({**document, "pin": pin}, "spec"), load_model(MODEL, None), Catalog.load())
            assert isinstance(pinned.performance, TrainingPerformance)
            assert named.days is not None
            assert pinned.performance.days >= named.days * (1 - 1e-9)
