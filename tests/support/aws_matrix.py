"""Specs that cover every instance family, orchestrator, purchase, network, storage and observability option.

One Terraform run judges the stacks of all specs: each stack becomes a module of one root, so that the provider starts
once. Two things differ from a stack that is deployed alone. The provider block and the backend are in the root, and
the outputs of other stacks are read from states that the tests write.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from planner.plan.plan import Plan
from planner.search.optimizer import plan as make_plan
from planner.spec.cluster import State
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model

ORCHESTRATORS: Final = ("none", "kubernetes", "slurm")

_TRAINING: Final[dict[str, Any]] = {"kind": "training", "tokens": 1e9, "deadline_days": 10}
_SERVING: Final[dict[str, Any]] = {"kind": "inference", "request_rate_per_s": 1}
_SMALL: Final[dict[str, Any]] = {**_SERVING, "prompt_tokens": 256, "output_tokens": 64}

FAMILIES: Final[tuple[tuple[str, str, int, dict[str, Any]], ...]] = (
    ("p4d.24xlarge", "us-east-1", 4, _TRAINING),
    ("p4de.24xlarge", "us-east-1", 2, _TRAINING),
    ("p5.48xlarge", "us-east-1", 4, _TRAINING),
    ("p5.4xlarge", "us-east-1", 2, _SMALL),
    ("p5e.48xlarge", "us-east-2", 2, _TRAINING),
    ("p5en.48xlarge", "us-east-1", 2, _TRAINING),
    ("p6-b200.48xlarge", "us-east-1", 2, _TRAINING),
    ("p6-b300.48xlarge", "us-west-2", 2, _TRAINING),
    ("g5.2xlarge", "us-east-1", 2, _SMALL),
    ("g5.48xlarge", "us-east-1", 2, _SMALL),
    ("g6.2xlarge", "us-east-1", 1, _SMALL),
    ("g6.48xlarge", "us-east-1", 4, _SMALL),
    ("g6e.4xlarge", "us-east-1", 1, _SMALL),
    ("g6e.24xlarge", "us-east-1", 4, _SMALL),
)
"""Instance type, region, number of nodes and workload."""
CAPACITIES: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"reservation": "none"},
    {"interruption": "tolerate"},
    {"demand": "business-hours", "interruption": "tolerate", "time_zone": "America/New_York"},
)
BLOCK: Final[dict[str, Any]] = {"block": {"start": "2026-12-10", "days": 14, "reservation_id": "cr-0123456789abcdef0"}}
NETWORKS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"cidr": "10.0.0.0/20", "flow_logs": False},
    {"cidr": "172.16.0.0/16", "flow_log_days": 30},
    {"egress": "endpoints-only"},
)
MIRROR: Final = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mirror"
STORAGES: Final[tuple[dict[str, Any], ...]] = (
    {"shared_tib": 2.4, "lustre": {"backup_days": 7, "metadata_iops": 6000}},
    {"shared_tib": 1.2, "shared_sku": "SCRATCH_2", "scratch": "none"},
    {"shared_tib": 9.6, "shared_sku": "PERSISTENT_2-500", "lustre": {"compression": "none"}},
    {"shared_tib": 1.2, "lustre": {"data_repositories": [{"bucket": "s3://datasets/corpus"}]}},
    {"shared_tib": 38.4, "lustre": {"efa": True, "metadata_iops": 12000}, "keep_on_destroy": False},
)
OBSERVABILITIES: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"notify": ["ops@example.com"]},
    {"notify": ["ops@example.com"], "metrics": True},
)


def documents() -> Iterator[dict[str, Any]]:
    """Yield specs as a user writes them: every family under every orchestrator, with the other options in rotation."""
    catalog = Catalog.load()
    numbers = itertools.count()
    for (instance_type, region, nodes, workload), orchestrator in itertools.product(FAMILIES, ORCHESTRATORS):
        index = next(numbers)
        kind = catalog.instance_type("aws", instance_type)
        options = kind.purchase_options
        capacities = [
            *(CAPACITIES if "on-demand" in options else ()),
            *([BLOCK] if "capacity-block" in options else ()),
        ]
        family, position = divmod(index, len(ORCHESTRATORS))
        network = NETWORKS[(family + position) % len(NETWORKS)]
        closed = "egress" in network
        # FSx for Lustre guide, "Working with EFA-enabled file systems": no clients of p4d, p4de and g5.
        reaches_over_efa = kind.rdma_cards and instance_type.partition(".")[0] not in ("p4d", "p4de", "g5")
        storages = STORAGES if reaches_over_efa else STORAGES[:-1]
        yield {
            "name": f"m{index:02d}-{instance_type.replace('.', '-')}"[:29].rstrip("-"),
            "model": "Qwen/Qwen2.5-1.5B",
            "workload": workload,
            "placement": {"providers": ["aws"], "regions": [region]},
            "pin": {"instance_type": instance_type, "nodes": nodes},
            "orchestrator": orchestrator,
            "capacity": capacities[index % len(capacities)],
            "network": network | ({"image_registry": MIRROR} if closed else {}),
            "storage": storages[(index // 3 + index) % len(storages)],
            "observability": OBSERVABILITIES[family % len(OBSERVABILITIES)],
            **({"rollout": {"validation_nodes": 1 + index % 4 // 2}} if index % 2 else {}),
        }


_P5: Final[dict[str, Any]] = {"instance_type": "p5.48xlarge", "nodes": 2}
FEATURES: Final[dict[str, dict[str, Any]]] = {
    "no-file-system": {"storage": {"shared_tib": 0, "checkpoints_tib": 2}},
    "efa-lustre": {"pin": _P5, "storage": {"shared_tib": 38.4, "lustre": {"efa": True, "metadata_iops": 12000}}},
    "zone-order": {"placement": {"zones": ["use1-az3", "use1-az2"]}, "pin": {**_P5, "instance_type": "p5en.48xlarge"}},
    # EKS sells no control plane in use1-az3.
    "zone-az3": {"placement": {"zone": "use1-az3"}, "pin": _P5},
    "tags": {"tags": {"cost-center": "R-D: 4+2=6 @ 50/2", "owner/team": "Zoë / Ömer", "a": ""}},
    "elastic": {
        "workload": _SMALL,
        "pin": {"instance_type": "g6.2xlarge", "nodes": 6},
        "capacity": {
            "demand": [0.1] * 6 + [0.5] * 6 + [1.0] * 6 + [0.3] * 6,
            "interruption": "tolerate",
            "time_zone": "Asia/Tokyo",
            "policy": "tiered",
        },
    },
    "connected": {"network": {"connected_cidrs": ["10.99.0.0/16", "192.168.7.0/24"]}},
}
"""Parts of specs that the rotation lacks, each under every orchestrator."""


def feature_documents() -> Iterator[dict[str, Any]]:
    """Yield one spec for each of `FEATURES` and each orchestrator."""
    for (name, feature), orchestrator in itertools.product(FEATURES.items(), ORCHESTRATORS):
        yield with_feature(f"{name}-{orchestrator[:4]}", orchestrator, feature)


def with_feature(name: str, orchestrator: str, feature: dict[str, Any]) -> dict[str, Any]:
    """Return a spec of two nodes that has a feature."""
    placement = {"providers": ["aws"], "regions": ["us-east-1"], **feature.get("placement", {})}
    return {
        "name": name,
        "model": "Qwen/Qwen2.5-1.5B",
        "workload": _TRAINING,
        "pin": {"instance_type": "p4d.24xlarge", "nodes": 2},
        "orchestrator": orchestrator,
        **feature,
        "placement": placement,
    }


def own_network(vpc_id: str, subnet_id: str) -> dict[str, Any]:
    """Return one more spec, with nodes in an existing network."""
    return {
        **next(documents()),
        "name": "own-network",
        "network": {"vpc_id": vpc_id, "subnet_id": subnet_id},
        "storage": STORAGES[1],
    }


def planned(document: dict[str, Any], catalog: Catalog) -> Plan:
    """Return the plan of one spec."""
    return make_plan(read_spec(document, document["name"]), load_model(document["model"], None), catalog)


def plans() -> dict[str, Plan]:
    """Return the plan of every spec, by name."""
    catalog = Catalog.load()
    return {document["name"]: planned(document, catalog) for document in (*documents(), *feature_documents())}


def write_root(folder: Path, plans_by_name: dict[str, Plan]) -> Path:
    """Synthesizes all stacks, that of the states too, and writes the root that has each of them as a module.

    Returns:
        The folder of the root. Relative paths of local states lead from there to `folder`/state.
    """
    from cdk.providers import use_bundled_node

    use_bundled_node()
    from cdktf import App

    from stacks.aws import AwsCluster

    app = App(outdir=str(folder / "cdktf.out"))
    catalog = Catalog.load()
    regions = {
        built.stack.node.id: plan.choice.region
        for plan in plans_by_name.values()
        for built in AwsCluster().build(app, plan, catalog)
    }
    shared = {"backend": "s3", "bucket": "acme-states", "region": "us-east-1"}
    spec = next(iter(plans_by_name.values())).spec
    states_stack = AwsCluster().build_state(app, spec.model_copy(update={"state": State.model_validate(shared)}))
    regions[states_stack.node.id] = "us-east-1"
    app.synth()
    root = folder / "cdktf.out" / "stacks" / "root"
    states = folder / "state"
    states.mkdir(parents=True)
    modules = {}
    for name, region in regions.items():
        document = json.loads((root.parent / name / "cdk.tf.json").read_text())
        modules[name] = {"source": f"./{name}", "providers": {"aws": f"aws.{region}"}}
        _write(root / name / "main.tf.json", _as_module(document))
        _write(states / f"{name}.tfstate", state(document.get("output", {})))
    _write(
        root / "main.tf.json",
        {
            "terraform": {"required_providers": document["terraform"]["required_providers"]},
            "provider": {"aws": [{"region": region, "alias": region} for region in sorted(set(regions.values()))]},
            "module": modules,
        },
    )
    return root


def stack_plans(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Split the plan of the root into one plan for each module, as if each stack had been planned alone."""
    configuration = plan["configuration"]
    changes: dict[str, list[dict[str, Any]]] = {}
    for change in plan["resource_changes"]:
        changes.setdefault(change["module_address"], []).append(_at_the_root(change))
    found = {}
    for module in plan["planned_values"]["root_module"]["child_modules"]:
        name = module["address"].removeprefix("module.")
        found[name] = {
            "format_version": plan["format_version"],
            "terraform_version": plan["terraform_version"],
            "planned_values": {"root_module": {"resources": [_at_the_root(r) for r in module.get("resources", ())]}},
            "resource_changes": changes.get(module["address"], []),
            "configuration": {
                "provider_config": configuration["provider_config"],
                "root_module": configuration["root_module"]["module_calls"][name]["module"],
            },
        }
    return found


def _at_the_root(resource: dict[str, Any]) -> dict[str, Any]:
    """Return a resource, or a change of one, with its address inside its module."""
    address = resource["address"].split(".", 2)[2]
    return {key: value for key, value in resource.items() if key != "module_address"} | {"address": address}


def _as_module(document: dict[str, Any]) -> dict[str, Any]:
    terraform = {key: value for key, value in document["terraform"].items() if key != "backend"}
    return {key: value for key, value in document.items() if key != "provider"} | {"terraform": terraform}


def state(outputs: dict[str, Any], **values: str) -> dict[str, Any]:
    """Return a state that holds only outputs: those of `values`, and stand-ins for the others."""
    return {
        "version": 4,
        "terraform_version": "1.11.4",
        "serial": 1,
        "lineage": "00000000-0000-0000-0000-000000000000",
        "outputs": {name: {"value": values.get(name) or _stand_in(name), "type": "string"} for name in outputs},
        "resources": [],
    }


_STAND_INS: Final = {
    "security_group_id": "sg-0123456789abcdef0",
    "subnet_id": "subnet-0123456789abcdef0",
    "file_system_id": "fs-0123456789abcdef0",
    "vpc_id": "vpc-0123456789abcdef0",
    "prefix_list_id": "pl-0123456789abcdef0",
    "availability_zone": "us-east-1a",
    "bucket_arn": "arn:aws:s3:::example",
    "kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef",
    "workspace_arn": "arn:aws:aps:us-east-1:123456789012:workspace/ws-01234567-89ab-cdef-0123-456789abcdef",
    "cidr": "10.42.0.0/16",
}
"""Values that the provider accepts for an output, by the end of its name."""


def _stand_in(name: str) -> str:
    return next((value for end, value in _STAND_INS.items() if name.endswith(end)), name)


def _write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
