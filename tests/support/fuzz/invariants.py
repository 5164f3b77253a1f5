"""Invariants of every plan, whatever its spec."""

from math import isclose
from pathlib import Path

from planner.market.place import ON_PREM_PROVIDER
from planner.plan.plan import Plan
from planner.relax.verdict import fits_memory, meets_spec
from planner.search.budget import budget_excess
from planner.spec import Pin
from planner.spec.reader import read_spec
from planner.workspace.lock_rules import violations
from planner.workspace.locks import plan_json, read_lock, write_lock
from planner.workspace.specs import LoadedSpec
from provider_catalog.architecture import ModelArchitecture
from tests.support.fuzz.values import CATALOG

ROUNDING = 1e-9


def check_plan(plan: Plan, architecture: ModelArchitecture, folder: Path) -> None:
    """Asserts the invariants of a plan; `folder` takes its lock."""
    check_sums(plan)
    check_promises(plan)
    check_round_trips(plan, architecture, folder)
    assert list(violations(plan, CATALOG)) == []


def check_sums(plan: Plan) -> None:
    """Asserts that nodes, GPUs, memory and bill are the sums of their parts."""
    choice, bought = plan.choice, plan.choice.purchase
    assert sum(bought.nodes_by_kind().values()) == choice.nodes, "the purchase mix does not sum to the nodes"
    used = choice.layout.gpus
    per_node = choice.gpus // choice.nodes
    assert choice.gpus == per_node * choice.nodes
    if plan.spec.workload.kind != "inference" and plan.spec.pin == Pin():
        assert used == choice.gpus, f"the layout uses {used} of {choice.gpus} GPUs"
    assert used <= choice.gpus, f"the layout uses {used} of {choice.gpus} GPUs"
    memory = plan.memory_per_gpu
    parts = (
        memory.weights_bytes, memory.kv_cache_bytes, memory.activations_bytes, memory.gradients_bytes,
        memory.optimizer_bytes, memory.overhead_bytes,
    )  # fmt: skip
    assert min(parts) >= 0, f"negative memory: {parts}"
    assert sum(parts) == memory.total_bytes, "the parts of memory do not sum to the total"
    cost = plan.cost
    known = [item.usd_per_hour for item in cost.items if item.usd_per_hour is not None]
    assert min(known, default=0) >= 0, "an item of the bill is negative"
    if cost.usd_per_hour is not None:
        assert isclose(sum(known), cost.usd_per_hour, rel_tol=ROUNDING), "the items do not sum to the total"
        assert isclose(sum(cost.usd_per_hour_by_stack.values()), cost.usd_per_hour, rel_tol=1e-6)
    assert len(cost.unknown) == len(cost.items) - len(known), "unpriced items are not listed"


def check_promises(plan: Plan) -> None:
    """Asserts that a plan without pins fits, is in time and within the budget."""
    if plan.spec.pin != Pin():
        return
    assert fits_memory(plan), "the plan exceeds the memory of a GPU"
    assert meets_spec(plan), "the plan misses the SLO or the deadline"
    bills = (plan.cost.usd_per_month, plan.cost.usd_per_run)
    if plan.updates is not None:
        bills = (plan.updates.usd_per_month, plan.updates.usd_per_update)
    assert budget_excess(plan.spec.budget, *bills) is None, "the plan exceeds its budget"
    assert plan.choice.nodes <= plan.spec.placement.max_nodes
    assert plan.choice.provider != ON_PREM_PROVIDER


def check_round_trips(plan: Plan, architecture: ModelArchitecture, folder: Path) -> None:
    """Asserts that JSON, spec and lock give the same plan back."""
    text = plan_json(plan)
    assert Plan.model_validate_json(text) == plan, "the JSON of the plan reads as another plan"
    assert plan_json(Plan.model_validate_json(text)) == text
    assert read_spec(plan.spec.model_dump(mode="json"), "spec") == plan.spec, "the spec reads as another spec"
    spec_path = folder / "spec.yaml"
    write_lock(plan, spec_path)
    assert read_lock(spec_path, LoadedSpec(plan.spec, architecture, spec_path), CATALOG) == plan
