"""Plans written by hand, for tests of stacks, bills and reports."""

from pathlib import Path
from typing import Any, Final

from planner.plan.choice import Choice, Purchase, SharedStorage
from planner.plan.cost import Cost, CostItem
from planner.plan.layout import Layout, MemoryPerGpu
from planner.plan.performance import TrainingPerformance
from planner.plan.plan import CatalogStamp, ModelSummary, Plan
from planner.spec import ClusterSpec
from planner.spec.hash import spec_sha256
from planner.workspace.planning import PlannedSpec
from provider_catalog.catalog import Catalog
from provider_catalog.facts import Provenance
from provider_catalog.models import load_model

PROVENANCE: Final = Provenance(source="a price written for tests", as_of="2026-01-01", kind="list")

_CHOICES: Final[dict[str, dict[str, Any]]] = {
    "aws": {
        "region": "us-east-1",
        "zone": "use1-az6",
        "instance_type": "p4d.24xlarge",
        "gpu": "A100-40GB",
        "shared_storage": SharedStorage(
            sku="PERSISTENT_2-125",
            deployment_type="PERSISTENT_2",
            size_gib=2400,
            requested_gib=2000,
            throughput_mb_per_s=293.0,
            throughput_mb_per_s_per_tib=125,
        ),
    },
    "azure": {
        "region": "eastus",
        "zone": "1",
        "instance_type": "Standard_ND96asr_v4",
        "root_disk": "ephemeral",
        "gpu": "A100-40GB",
        "shared_storage": SharedStorage(
            sku="AMLFS-Durable-Premium-125",
            deployment_type="AMLFS-Durable-Premium-125",
            size_gib=16384,
            requested_gib=10000,
            throughput_mb_per_s=2000.0,
            throughput_mb_per_s_per_tib=125,
        ),
    },
}

_ROLES: Final = {
    "network": ("nat_gateway", "nat_data", "public_ip"),
    "storage": ("shared_storage", "checkpoint_storage", "encryption_key"),
    "compute": ("compute_reserved", "compute_spot", "compute_on_demand", "root_disk"),
}


def example_plan(provider: str = "aws", *, spec: dict[str, Any] | None = None, **choice: Any) -> Plan:
    """A plan of four 8-GPU nodes that train as one gang, all on-demand unless `purchase` says otherwise.

    Args:
        provider: aws or azure.
        spec: Fields of the spec to set or replace, as a user writes them: `{"state": {...}, "tags": {...}}`.
        choice: Fields of `Choice` to replace. `nodes` alone keeps the gang on-demand and the GPUs consistent.
    """
    nodes = choice.get("nodes", 4)
    fields: dict[str, Any] = {
        "provider": provider,
        **_CHOICES[provider],
        "nodes": nodes,
        "gpus": nodes * 8,
        "multi_node": nodes > 1,
        "layout": Layout(tensor=8, data=nodes, zero_stage=1, sequence_parallel=True),
        "weights": "bf16",
        "kv_cache": "bf16",
        "purchase": Purchase(on_demand_nodes=nodes, reason="written for tests"),
        "scratch": "raid0",
        "root_disk_gib": 200,
        **choice,
    }
    decided = Choice(**fields)
    written = ClusterSpec.model_validate(
        {
            "name": "example",
            "model": {"parameters": "7B"},
            "workload": {"kind": "training", "tokens": 1e12},
            **(spec or {}),
        }
    )
    return Plan(
        name="example",
        spec=written,
        spec_sha256=spec_sha256(written),
        catalog=CatalogStamp(version="tests", prices_as_of="2026-01-01"),
        model=ModelSummary(name="7B", total_parameters=6_738_415_616, active_parameters=6_738_415_616),
        choice=decided,
        memory_per_gpu=MemoryPerGpu(
            weights_bytes=2 * 10**9,
            kv_cache_bytes=0,
            activations_bytes=10 * 10**9,
            gradients_bytes=2 * 10**9,
            optimizer_bytes=4 * 10**9,
            overhead_bytes=10**9,
            total_bytes=19 * 10**9,
            capacity_bytes=38 * 10**9,
            rank="first pipeline stage",
        ),
        performance=TrainingPerformance(
            engine="written for tests",
            step_time_s=10.0,
            steps=238_418,
            mfu=0.4,
            hfu=0.4,
            tflops_per_gpu=125.0,
            tokens_per_s_per_gpu=3000.0,
            goodput=0.97,
            gpu_hours=92_592.0,
            days=27.6,
            breakdown_s={"compute": 10.0},
        ),
        cost=example_cost(decided),
        alternatives=(),
        rejected=(),
    )


def example_cost(choice: Choice) -> Cost:
    """Return a bill with one line for every role that the choice uses, at one dollar a unit."""
    bought = {
        "compute_reserved": choice.purchase.reserved_nodes,
        "compute_spot": choice.purchase.spot_nodes,
        "compute_on_demand": choice.purchase.on_demand_nodes,
        "root_disk": choice.nodes,
        "shared_storage": 1 if choice.shared_storage else 0,
    }
    items = tuple(
        CostItem(
            name=role.replace("_", " "),
            role=role,
            stack=stack,  # type: ignore[arg-type]
            quantity=quantity,
            unit="unit-hour",
            unit_price_usd=1.0,
            usd_per_hour=float(quantity),
            provenance=PROVENANCE,
        )
        for stack, roles in _ROLES.items()
        for role in roles
        if (quantity := bought.get(role, 1))
    )
    total = sum(item.usd_per_hour or 0.0 for item in items)
    return Cost(usd_per_hour=total, usd_per_month=total * 730, items=items)


def planned_spec(plan: Plan) -> PlannedSpec:
    """A plan as synthesis takes it, as if it had been planned from example.yaml."""
    model = plan.spec.model if isinstance(plan.spec.model, str) else plan.spec.model.model_dump()
    return PlannedSpec(Path("example.yaml"), plan, False, load_model(model, None), Catalog.load())
