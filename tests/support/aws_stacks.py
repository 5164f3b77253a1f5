"""AWS clusters of the test suite, and their synthesized documents."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from planner.plan.choice import PassThresholds, Purchase, SharedStorage
from planner.plan.plan import Plan
from provider_catalog.catalog import Catalog
from tests.support.plans import example_plan

if TYPE_CHECKING:
    from stacks.clouds import BuiltStack

ROLES: Final = ("network", "storage", "compute")

SCRATCH: Final = SharedStorage(
    sku="SCRATCH_2",
    deployment_type="SCRATCH_2",
    size_gib=1200,
    requested_gib=1000,
    throughput_mb_per_s=240.0,
    throughput_mb_per_s_per_tib=200,
)

CLUSTERS: Final[dict[str, dict[str, Any]]] = {
    "p4d_gang_reserved": {"nodes": 4, "purchase": Purchase(reserved_nodes=4)},
    "p4d_gang_spot": {"nodes": 2, "purchase": Purchase(spot_nodes=2)},
    "p5_gang": {"instance_type": "p5.48xlarge", "nodes": 2},
    "p5en_single": {"instance_type": "p5en.48xlarge", "nodes": 1},
    "b300_gang": {"instance_type": "p6-b300.48xlarge", "nodes": 2},
    "g6_single": {"instance_type": "g6.xlarge", "nodes": 1, "shared_storage": SCRATCH},
    "g6e_replicas": {
        "instance_type": "g6e.12xlarge",
        "nodes": 5,
        "multi_node": False,
        "shared_storage": None,
        "purchase": Purchase(reserved_nodes=2, on_demand_nodes=1, spot_nodes=2),
    },
}

OFFERED_BLOCK: Final = {"start": "2026-12-10", "days": 7}
BOUGHT_BLOCK: Final = {**OFFERED_BLOCK, "reservation_id": "cr-0123456789abcdef0"}

ORCHESTRATED: Final[dict[str, dict[str, Any]]] = {
    "kubernetes_gang": {
        "instance_type": "p5.48xlarge",
        "nodes": 4,
        "purchase": Purchase(reserved_nodes=4),
        "spec": {"orchestrator": "kubernetes"},
    },
    "kubernetes_replicas": {
        "instance_type": "g6e.12xlarge",
        "nodes": 5,
        "multi_node": False,
        "shared_storage": None,
        "purchase": Purchase(reserved_nodes=2, on_demand_nodes=1, spot_nodes=2),
        "spec": {"orchestrator": "kubernetes"},
    },
    "kubernetes_block": {
        "instance_type": "p5e.48xlarge",
        "nodes": 2,
        "purchase": Purchase(capacity_block_nodes=2, capacity_block_instances=2),
        "spec": {"orchestrator": "kubernetes", "capacity": {"block": BOUGHT_BLOCK}},
    },
    "slurm_gang": {
        "nodes": 4,
        "purchase": Purchase(reserved_nodes=4),
        "spec": {"orchestrator": "slurm"},
    },
    "slurm_in_own_reservation": {
        "nodes": 2,
        "purchase": Purchase(reserved_nodes=2),
        "spec": {
            "orchestrator": "slurm",
            "capacity": {"reservation": {"id": "cr-0123456789abcdef0", "placement_group": "racks"}},
        },
    },
    "slurm_in_own_group": {
        "nodes": 2,
        "purchase": Purchase(reserved_nodes=2),
        "spec": {
            "orchestrator": "slurm",
            "capacity": {
                "reservation": {"group": "arn:aws:resource-groups:us-east-1:123456789012:group/racks"},
            },
        },
    },
    "slurm_replicas": {
        "instance_type": "g6.xlarge",
        "nodes": 3,
        "multi_node": False,
        "shared_storage": SCRATCH,
        "scratch": "none",
        "purchase": Purchase(on_demand_nodes=1, spot_nodes=2),
        "spec": {"orchestrator": "slurm"},
    },
    "slurm_watched": {
        "nodes": 4,
        "purchase": Purchase(reserved_nodes=1, on_demand_nodes=3),
        "pass_thresholds": PassThresholds(inside_gb_per_s=204.0, between_gb_per_s=34.0),
        "spec": {
            "orchestrator": "slurm",
            "rollout": {"validation_nodes": 2},
            "observability": {"notify": ["ops@example.com"], "metrics": True},
        },
    },
    "slurm_closed": {
        "nodes": 2,
        "spec": {
            "orchestrator": "slurm",
            "network": {"egress": "endpoints-only"},
            "observability": {"notify": ["ops@example.com"]},
        },
    },
    "slurm_block": {
        "instance_type": "p6-b300.48xlarge",
        "nodes": 2,
        "purchase": Purchase(capacity_block_nodes=2, capacity_block_instances=2),
        "spec": {
            "orchestrator": "slurm",
            "capacity": {"block": BOUGHT_BLOCK},
        },
    },
    "bare_block": {
        "instance_type": "p5.48xlarge",
        "nodes": 3,
        "purchase": Purchase(capacity_block_nodes=3, capacity_block_instances=4),
        "spec": {"capacity": {"block": BOUGHT_BLOCK}},
    },
    "bare_offer": {
        "instance_type": "p5.48xlarge",
        "nodes": 3,
        "purchase": Purchase(capacity_block_nodes=3, capacity_block_instances=4),
        "spec": {"capacity": {"block": OFFERED_BLOCK}},
    },
}
"""Clusters with an orchestrator, or in a Capacity Block that is bought or only offered."""

THRESHOLDS: Final = PassThresholds(inside_gb_per_s=200.0, between_gb_per_s=40.0)

FEATURES: Final[dict[str, Plan]] = {
    "open": example_plan(nodes=4, purchase=Purchase(reserved_nodes=2, on_demand_nodes=1, spot_nodes=1)),
    "closed": example_plan(
        instance_type="p5.48xlarge",
        nodes=3,
        pass_thresholds=THRESHOLDS,
        spec={
            "network": {"egress": "endpoints-only"},
            "rollout": {"validation_nodes": 2},
            "observability": {"notify": ["ops@example.com"]},
            "storage": {"lustre": {"efa": True, "backup_days": 7, "metadata_iops": 12_000}},
        },
    ),
    "watched": example_plan(
        nodes=2,
        purchase=Purchase(spot_nodes=2),
        spec={"observability": {"notify": ["ops@example.com"], "metrics": True}},
    ),
    **{
        orchestrator: example_plan(
            nodes=4,
            pass_thresholds=THRESHOLDS,
            spec={
                "orchestrator": orchestrator,
                "rollout": {"validation_nodes": 2},
                "observability": {"notify": ["ops@example.com"], "metrics": True},
            },
        )
        for orchestrator in ("kubernetes", "slurm")
    },
    "own": example_plan(
        instance_type="g6.xlarge",
        nodes=1,
        shared_storage=SCRATCH,
        spec={"network": {"vpc_id": "vpc-0a1b2c3d", "subnet_id": "subnet-0a1b2c3d"}},
    ),
}
"""Plans that together contain every type of resource."""

Documents = dict[str, dict[str, Any]]


def synthesize(
    plan: Plan,
    folder: Path,
    *,
    protect_data: bool = True,
    then: "Callable[[Plan, tuple[BuiltStack, ...]], None] | None" = None,
) -> Documents:
    """The documents of a plan's stacks by role, written as Terraform finds them below `folder`/cdktf.out/stacks.

    `then` may change the stacks before they are written.
    """
    from cdk.providers import use_bundled_node

    use_bundled_node()
    from cdktf import App

    from stacks.aws import AwsCluster

    folder.mkdir(parents=True, exist_ok=True)
    app = App(outdir=str(folder / "cdktf.out"))
    built = AwsCluster(protect_data=protect_data).build(app, plan, Catalog.load())
    if then is not None:
        then(plan, built)
    app.synth()
    (folder / "state").mkdir(exist_ok=True)
    documents: Documents = {}
    for stack in built:
        documents[stack.role] = json.loads((stack_folder(folder, plan, stack.role) / "cdk.tf.json").read_text())
        documents[stack.role]["files"] = stack.files
        # Kept beside the document, where the tests of the addresses find them.
        documents[stack.role]["addresses"] = stack.addresses
    return documents


def stack_folder(folder: Path, plan: Plan, role: str) -> Path:
    """Return the folder of a stack's document."""
    return folder / "cdktf.out" / "stacks" / f"{plan.name}-{role}"


def cluster_plan(name: str) -> Plan:
    """Return the plan of one of CLUSTERS or ORCHESTRATED."""
    return example_plan(**{**CLUSTERS, **ORCHESTRATED}[name])


def resources(documents: Documents, kind: str) -> dict[str, dict[str, Any]]:
    """Return the resources of one type in all stacks, by name."""
    found: dict[str, dict[str, Any]] = {}
    for document in documents.values():
        found |= document["resource"].get(kind, {})
    return found


def only(documents: Documents, kind: str) -> dict[str, Any]:
    """Return the resource of a type that has exactly one."""
    (resource,) = resources(documents, kind).values()
    return resource


def statements(documents: Documents, name: str) -> list[dict[str, Any]]:
    """Return the statements of an IAM policy document."""
    for document in documents.values():
        for policy, content in document.get("data", {}).get("aws_iam_policy_document", {}).items():
            if policy == name:
                return list(content["statement"])
    raise AssertionError(f"no policy document {name}")
