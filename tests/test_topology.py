"""Topology: published wiring of the nodes, placement of ranks, and environment variables of each fabric."""

import subprocess
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import product

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cdk.aws.eks.manifests import ENVIRONMENT, manifests
from cdk.bootstrap import NodeBootstrap, cloud_init
from llmcluster.reports.topology_text import topology_facts
from planner.launch.launch_files import launch_files, launch_of
from planner.plan.layout import Layout
from planner.plan.performance import TrainingPerformance
from planner.plan.plan import Plan
from planner.plan.topology import GroupKind
from planner.search.optimizer import plan
from planner.sizing.communication import (
    NETWORK_EFFICIENCY,
    Ring,
    inside_bytes_per_s,
    network_bytes_per_s,
    peer_bytes_per_s,
)
from planner.spec.reader import read_spec
from planner.topology.placement import placement
from planner.topology.ranks import ProcessGroups, serving_groups, training_groups
from provider_catalog.catalog import Catalog
from provider_catalog.collective_environment import CollectiveEnvironment, CollectiveRow, Variable, reasons, values
from provider_catalog.errors import CatalogError
from provider_catalog.hardware import InstanceType, NodeTopology
from provider_catalog.models import load_model

CATALOG = Catalog.packaged()
INSTANCE_TYPES = list(CATALOG.instance_types.values())


def node(provider: str, name: str) -> NodeTopology:
    return CATALOG.topology(CATALOG.instance_type(provider, name))


def environment(provider: str, name: str) -> dict[str, str]:
    return values(CATALOG.collectives(CATALOG.instance_type(provider, name)))


# Nodes: the topology files that aws-ofi-nccl and azhpc-images install, EC2's and Microsoft's pages on the types.


@pytest.mark.parametrize(
    ("provider", "name", "domain", "rails", "cards", "per_switch", "per_numa"),
    [
        ("aws", "p4d.24xlarge", 8, 4, 4, 2, 4),
        ("aws", "p5.48xlarge", 8, 8, 32, 1, None),
        ("aws", "p5.4xlarge", 1, 1, 1, None, None),
        ("aws", "p5en.48xlarge", 8, 8, 16, None, None),
        ("aws", "p6-b300.48xlarge", 8, 8, 16, None, None),
        ("aws", "g5.48xlarge", 1, 1, 1, None, 4),
        ("aws", "g6e.48xlarge", 1, 4, 4, None, None),
        ("azure", "Standard_ND96asr_v4", 8, 8, 8, 2, 2),
        ("azure", "Standard_ND96isr_H100_v5", 8, 8, 8, 1, 4),
        ("azure", "Standard_ND96isr_MI300X_v5", 8, 8, 8, None, None),
        ("azure", "Standard_NC96ads_A100_v4", 2, 1, 1, None, 1),
        ("azure", "Standard_NC80adis_H100_v5", 2, 1, 1, None, None),
    ],
)
def test_nodes_are_wired_as_their_clouds_publish(
    provider: str, name: str, domain: int, rails: int, cards: int, per_switch: int | None, per_numa: int | None
) -> None:
    found = node(provider, name)
    assert (found.nvlink_domain_gpus, found.rails, found.cards) == (domain, rails, cards)
    assert (found.gpus_per_pcie_switch, found.gpus_per_numa_node) == (per_switch, per_numa)


def test_only_types_of_the_catalog_have_wiring_and_every_fabric_has_a_network() -> None:
    for instance_type in INSTANCE_TYPES:
        network = CATALOG.fabric_wiring(instance_type)
        assert network is not None and network.source, instance_type.name
    names = {(kind.provider, kind.name) for kind in INSTANCE_TYPES}
    for provider in CATALOG.providers:
        rows = yaml.safe_load((CATALOG.folder / provider / "topology.yaml").read_text())["nodes"]
        assert {(provider, name) for row in rows for name in row["instance_types"]} <= names


def test_links_of_a_gpu_agree_with_its_bandwidth() -> None:
    assert all((gpu.links == "none") == (gpu.nvlink_gb_per_s == 0) for gpu in CATALOG.gpus.values())


# AMD MI300X data sheet: seven links of 64 GB/s in each direction, one to each other GPU.
@pytest.mark.parametrize(("ranks", "gb_per_s"), [(2, 64), (4, 192), (8, 448)])
def test_a_group_in_a_mesh_has_the_links_between_its_members(ranks: int, gb_per_s: float) -> None:
    assert peer_bytes_per_s(node("azure", "Standard_ND96isr_MI300X_v5"), ranks) == pytest.approx(gb_per_s * 1e9)


def test_a_pair_behind_a_switch_has_all_links_and_a_bridge_ends_at_two() -> None:
    assert peer_bytes_per_s(node("aws", "p5.48xlarge"), 2) == 450e9
    bridged = node("azure", "Standard_NC96ads_A100_v4")
    assert (peer_bytes_per_s(bridged, 2), peer_bytes_per_s(bridged, 4)) == (300e9, 0)
    assert peer_bytes_per_s(bridged, 2, spread=2) == 0


# Cards x rate of the types' pages over the GPUs that share them: p4d 4 x 100 Gb/s for 8, p5 32 x 100, p5en 16 x 200,
# p6-b300 16 x 400, ND A100 v4 8 x 200, ND H100 v5 8 x 400.
@pytest.mark.parametrize(
    ("provider", "name", "gb_per_s"),
    [
        ("aws", "p4d.24xlarge", 6.25),
        ("aws", "p5.48xlarge", 50),
        ("aws", "p5.4xlarge", 12.5),
        ("aws", "p5en.48xlarge", 50),
        ("aws", "p6-b300.48xlarge", 100),
        ("azure", "Standard_ND96asr_v4", 25),
        ("azure", "Standard_ND96isr_H100_v5", 50),
        ("azure", "Standard_ND96isr_MI300X_v5", 50),
    ],
)
def test_a_gpu_has_its_part_of_the_nodes_cards_and_a_group_the_parts_of_its_ranks(
    provider: str, name: str, gb_per_s: float
) -> None:
    found = node(provider, name)
    share = gb_per_s * 1e9 * NETWORK_EFFICIENCY
    assert network_bytes_per_s(found) == pytest.approx(share)
    for ranks in {min(2, found.gpus), found.gpus} - {1}:
        ring = Ring.of(found, 4 * ranks, ranks)
        inside = inside_bytes_per_s(found, ranks, found.gpus // ranks)
        assert ring.bytes_per_s == pytest.approx(min(ranks * share, inside))
    assert Ring.of(found, 4, 1).bytes_per_s == pytest.approx(share)


# NVIDIA/nccl, issue 527: all_reduce_perf of 1 GiB on one p4d.24xlarge, 231 GB/s bus bandwidth.
def test_a_ring_inside_p4d_is_as_fast_as_nccl_tests_measure() -> None:
    assert Ring.of(node("aws", "p4d.24xlarge"), 8, 8).bytes_per_s == pytest.approx(231e9, rel=0.1)


# Ranks


def layouts() -> st.SearchStrategy[Layout]:
    powers = st.sampled_from([1, 2, 4, 8])
    odd = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8])
    return st.builds(
        lambda tensor, context, data, pipeline, expert: Layout(
            tensor=tensor,
            context=context,
            data=data,
            pipeline=pipeline,
            expert=expert if data * context % expert == 0 else 1,
        ),
        odd,
        powers,
        odd,
        odd,
        powers,
    )


def megatron_groups(layout: Layout, kind: GroupKind) -> set[tuple[int, ...]]:
    """Groups by the coordinates of each rank, tensor fastest, then context, data and pipeline."""
    tensor, context, data, pipeline = layout.tensor, layout.context, layout.data, layout.pipeline
    expert = layout.expert
    groups: dict[tuple[object, ...], list[int]] = {}
    for rank, (pp, dp, cp, tp) in enumerate(product(*map(range, (pipeline, data, context, tensor)))):
        replica = dp * context + cp
        fixed: dict[GroupKind, tuple[object, ...]] = {
            "tensor": (pp, dp, cp),
            "context": (pp, dp, tp),
            "data": (pp, tp),
            "pipeline": (dp, cp, tp),
            "expert": (pp, tp, replica // expert),
            "expert-data": (pp, tp, replica % expert),
        }
        groups.setdefault(fixed[kind], []).append(rank)
    return {tuple(members) for members in groups.values()}


@given(layouts())
def test_groups_are_those_of_megatrons_rank_order(layout: Layout) -> None:
    degrees: dict[GroupKind, int] = {
        "tensor": layout.tensor,
        "context": layout.context,
        "expert": layout.expert,
        "data": layout.data * layout.context,
        "expert-data": layout.data * layout.context // layout.expert,
        "pipeline": layout.pipeline,
    }
    for grouping in training_groups(layout):
        members = list(grouping.members())
        assert {tuple(group) for group in members} == megatron_groups(layout, grouping.kind)
        assert all(len(group) == degrees[grouping.kind] for group in members)
        assert sorted(rank for group in members for rank in group) == list(range(layout.gpus))
        assert len(members) * grouping.size == layout.gpus


@given(
    layouts(),
    st.sampled_from(["p4d.24xlarge", "g5.12xlarge", "Standard_NC96ads_A100_v4", "Standard_ND96asr_v4"]),
    st.booleans(),
)
def test_a_placement_is_what_counting_every_group_gives(layout: Layout, name: str, rails: bool) -> None:
    provider = "azure" if name.startswith("Standard") else "aws"
    found_node = node(provider, name).model_copy(update={"paths": "rails" if rails else "unknown"})
    gpus, domain = found_node.gpus, found_node.nvlink_domain_gpus
    for grouping in training_groups(layout):
        found = placement(grouping, found_node, gpus)
        nodes, most, aligned, inside = 1, 1, True, True
        for group in grouping.members():
            by_node: dict[int, list[int]] = {}
            for rank in group:
                by_node.setdefault(rank // gpus, []).append(rank % gpus)
            nodes, most = max(nodes, len(by_node)), max(most, *map(len, by_node.values()))
            aligned &= len({tuple(positions) for positions in by_node.values()}) == 1
            inside &= len({(rank // gpus, rank % gpus // domain) for rank in group}) == 1
        assert (found.nodes, found.ranks_per_node, found.card_aligned) == (nodes, most, aligned), grouping
        between = "rail" if aligned and rails else "network"
        assert found.level == (between if nodes > 1 else "nvlink" if inside else "pcie"), grouping


@given(layouts(), st.sampled_from(INSTANCE_TYPES))
def test_tensor_ranks_stay_in_nvlink_where_their_degree_divides_its_domain(
    layout: Layout, instance_type: InstanceType
) -> None:
    found_node = CATALOG.topology(instance_type)
    for grouping in training_groups(layout):
        if grouping.kind == "tensor" and found_node.nvlink_domain_gpus % layout.tensor == 0:
            assert placement(grouping, found_node, found_node.gpus).level == "nvlink"


def test_a_serving_replica_keeps_stages_side_by_side() -> None:
    groups = serving_groups(Layout(tensor=4, pipeline=4, data=3))
    assert [(group.kind, group.size, group.stride, group.count) for group in groups] == [
        ("tensor", 4, 1, 4),
        ("pipeline", 4, 4, 4),
    ]


def test_a_large_job_is_placed_without_listing_its_ranks() -> None:
    groups = training_groups(Layout(tensor=8, pipeline=16, data=128))
    placed = {group.kind: placement(group, node("aws", "p5.48xlarge"), 8) for group in groups}
    assert (placed["data"].nodes, placed["data"].ranks_per_node, placed["data"].stride) == (128, 1, 8)
    assert placed["tensor"].level == "nvlink"
    assert placed["pipeline"].nodes == 16


def test_groups_of_uneven_jobs_are_not_called_aligned() -> None:
    grouping = ProcessGroups("data", 3, 4, 12)
    assert not placement(grouping, node("aws", "p4d.24xlarge"), 8).card_aligned


# Plans


@cache
def trained(instance_type: str, nodes: int, **layout: int) -> Plan:
    given_spec = {
        "name": "topology",
        "model": "meta-llama/Meta-Llama-3.1-70B",
        "workload": {"kind": "training", "tokens": 1e10, "sequence_length": 8192, "global_batch_tokens": 4194304},
        "pin": {
            "instance_type": instance_type,
            "nodes": nodes,
            "layout": {"zero_stage": 1, "recompute": "selective", "virtual_stages": 1, **layout},
        },
    }
    spec = read_spec(given_spec, "spec")
    return plan(spec, load_model("meta-llama/Meta-Llama-3.1-70B"), CATALOG)


def test_the_plan_says_what_each_group_crosses_and_what_a_step_waits_for() -> None:
    found = trained("p4d.24xlarge", 32, tensor=8, pipeline=8, context=1, micro_batch=1)
    topology, performance = found.topology, found.performance
    assert topology is not None and isinstance(performance, TrainingPerformance)
    assert {group.kind: (group.level, group.size, group.nodes) for group in topology.groups} == {
        "tensor": ("nvlink", 8, 1),
        "data": ("network", 4, 4),
        "pipeline": ("network", 8, 8),
    }
    waits = ("tensor_parallel", "data_parallel", "pipeline_transfers")
    assert sum(topology.exposed_s.values()) == pytest.approx(sum(performance.breakdown_s[part] for part in waits))
    assert topology.exposed_s["nvlink"] == performance.breakdown_s["tensor_parallel"] > 0


def test_the_report_names_places_and_variables_in_two_lines() -> None:
    found = trained("p4d.24xlarge", 32, tensor=8, pipeline=8, context=1, micro_batch=1)
    lines = dict(topology_facts(found))
    assert set(lines) == {"topology", "environment"}
    assert lines["topology"].startswith("TP8 in NVLink (")
    assert "DP4 on 4 nodes, PP8 on 8 nodes over EFA" in lines["topology"]
    assert "FI_EFA_USE_DEVICE_RDMA=1 FI_PROVIDER=efa; " in lines["environment"]
    amd = trained("Standard_ND96isr_MI300X_v5", 32, tensor=8, pipeline=8, context=1, micro_batch=1)
    assert dict(topology_facts(amd))["topology"].startswith("TP8 in Infinity Fabric (")
    assert not dict(topology_facts(found.model_copy(update={"topology": None})))


def test_bytes_of_a_step_are_those_of_the_papers() -> None:
    """Narayanan et al. 2021 (arXiv 2104.04473), section 3.2: 8·b·s·h·(t-1)/t values a layer, device and micro-batch,
    and b·s·h between stages each way; ZeRO (arXiv 1910.02054), section 7: gradients scattered, weights gathered."""
    tensor, pipeline, data, layers, hidden, sequence = 8, 8, 4, 80, 8192, 8192
    found = trained("p4d.24xlarge", 32, tensor=tensor, pipeline=pipeline, context=1, micro_batch=1)
    assert found.topology is not None
    sent = {group.kind: group.step_bytes for group in found.topology.groups}
    micro_batches, activations = 512 // data, sequence * hidden
    assert sent["tensor"] == pytest.approx(
        2 * 8 * activations * (tensor - 1) / tensor * layers / pipeline * micro_batches
    )
    assert sent["pipeline"] == pytest.approx(2 * activations / tensor * micro_batches * 2 * (pipeline - 1) / pipeline)
    parameters = found.model.total_parameters / (tensor * pipeline)
    assert sent["data"] == pytest.approx((4 + 2) * parameters * (data - 1) / data, rel=0.01)


def test_stages_of_several_replicas_lie_on_different_nodes_although_one_would_fit() -> None:
    alone = trained("p5.48xlarge", 1, tensor=4, pipeline=2, context=1, micro_batch=1, zero_stage=1)
    several = trained("p5.48xlarge", 2, tensor=4, pipeline=2, context=1, micro_batch=1, zero_stage=1)
    levels = []
    for found in (alone, several):
        assert found.topology is not None
        levels += [group.level for group in found.topology.groups if group.kind == "pipeline"]
    assert levels == ["nvlink", "network"]


# Environment: EC2 user guide, aws-ofi-nccl's platform table, /etc/nccl.conf of Azure's HPC image.


def test_a6_device_rdma_is_asked_for_on_the_first_generation_of_efa_only() -> None:
    asked = {kind.name for kind in INSTANCE_TYPES if "FI_EFA_USE_DEVICE_RDMA" in environment(kind.provider, kind.name)}
    assert asked == {"p4d.24xlarge", "p4de.24xlarge"}


def test_efa_is_named_where_there_is_efa_and_nowhere_else() -> None:
    for kind in INSTANCE_TYPES:
        assert (environment(kind.provider, kind.name).get("FI_PROVIDER") == "efa") == (kind.fabric == "efa"), kind.name


def test_variables_that_the_efa_plugin_sets_are_left_to_it() -> None:
    by_itself = {"NCCL_BUFFSIZE", "NCCL_P2P_NET_CHUNKSIZE", "NCCL_PROTO", "NCCL_TUNER_PLUGIN", "FI_EFA_FORK_SAFE"}
    for name in ("p4d.24xlarge", "p5.48xlarge", "p5en.48xlarge", "p6-b200.48xlarge"):
        told = {entry.variable: entry for entry in CATALOG.collectives(CATALOG.instance_type("aws", name))}
        assert all(told[variable].value is None for variable in by_itself)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("Standard_ND96asr_v4", "/opt/microsoft/ndv4/topo.xml"),
        ("Standard_ND96amsr_A100_v4", "/opt/microsoft/ndv4/topo.xml"),
        ("Standard_ND96isr_H100_v5", "/opt/microsoft/ndv5/topo.xml"),
        ("Standard_ND96isr_H200_v5", "/opt/microsoft/ndv5/topo.xml"),
    ],
)
def test_z4_nodes_with_infiniband_have_what_the_image_puts_into_nccl_conf(name: str, file: str) -> None:
    conf = {"NCCL_IB_PCI_RELAXED_ORDERING": "1", "NCCL_TOPO_FILE": file, "NCCL_IGNORE_CPU_AFFINITY": "1"}
    found = environment("azure", name)
    assert conf.items() <= found.items()
    assert found["NCCL_SOCKET_IFNAME"] == "eth0"


def test_amd_nodes_take_no_nvidia_topology() -> None:
    assert environment("azure", "Standard_ND96isr_MI300X_v5") == {"NCCL_SOCKET_IFNAME": "eth0"}


@pytest.mark.parametrize("kind", INSTANCE_TYPES, ids=lambda kind: kind.name)
def test_every_variable_has_one_row_a_reason_and_a_source(kind: InstanceType) -> None:
    found = CATALOG.collectives(kind)
    assert max(Counter(entry.variable for entry in found).values(), default=1) == 1
    for entry in found:
        assert (
            entry.reason and entry.source and not set("\n${}") & set(entry.reason + entry.source + (entry.value or ""))
        )


def test_rows_that_contradict_each_other_are_refused() -> None:
    row = CollectiveRow(variable="NCCL_PROTO", value="simple", reason="a", source="b", as_of="2025")
    twice = CollectiveEnvironment(set=(row,), left_alone=(row.model_copy(update={"value": None}),))
    with pytest.raises(CatalogError, match=r"NCCL_PROTO has two rows for p4d\.24xlarge; narrow one row"):
        twice.environment(CATALOG.instance_type("aws", "p4d.24xlarge"))


# What is generated from it


def test_nodes_and_pods_and_scripts_say_why() -> None:
    known = CATALOG.collectives(CATALOG.instance_type("aws", "p4d.24xlarge"))
    why = reasons(known)
    bootstrap = NodeBootstrap(
        cluster="topology",
        scratch="none",
        nvme_disks=0,
        lustre=None,
        fabric="efa",
        rdma_cards=4,
        gpus=8,
        environment=values(known),
        reasons=why,
    )
    files = {file["path"]: file["content"] for file in yaml.safe_load(cloud_init(bootstrap))["write_files"]}
    pods = manifests("us-east-1", str, efa=True, environment=known)
    found = trained("p4d.24xlarge", 32, tensor=8, pipeline=8, context=1, micro_batch=1)
    script = launch_files(launch_of(found, load_model("meta-llama/Meta-Llama-3.1-70B"), CATALOG))["launch.sh"]
    texts = [
        files["/etc/profile.d/llmcluster.sh"],
        files["/etc/environment.d/50-llmcluster.conf"],
        pods[f"{ENVIRONMENT}.yaml"],
        script,
    ]
    for text in texts:
        for variable, reason in why.items():
            assert variable in text and reason in text
    assert yaml.safe_load(pods[f"{ENVIRONMENT}.yaml"])["data"] == values(known)
    assert f"{ENVIRONMENT}.yaml" in yaml.safe_load(pods["kustomization.yaml"])["resources"]
    assert f"{ENVIRONMENT}.yaml" not in manifests("us-east-1", str, efa=False)


def test_whoever_runs_the_script_overrides_its_environment() -> None:
    found = trained("p4d.24xlarge", 32, tensor=8, pipeline=8, context=1, micro_batch=1)
    script = launch_files(launch_of(found, load_model("meta-llama/Meta-Llama-3.1-70B"), CATALOG))["launch.sh"]
    exports = "\n".join(line for line in script.splitlines() if line.startswith(("export", "#")))
    shown = subprocess.run(
        ["bash", "-c", exports + '\necho "$FI_PROVIDER $FI_EFA_USE_DEVICE_RDMA $CUDA_DEVICE_MAX_CONNECTIONS"'],
        env={"PATH": "/usr/bin:/bin", "FI_PROVIDER": "tcp"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split() == ["tcp", "1", "1"]


def test_one_gpu_alone_needs_no_environment() -> None:
    spec = read_spec(
        {
            "name": "single",
            "model": "meta-llama/Meta-Llama-3.1-8B",
            "workload": {"kind": "inference", "request_rate_per_s": 0.1},
            "pin": {"instance_type": "p5.4xlarge", "nodes": 1},
        },
        "spec",
    )
    model = load_model("meta-llama/Meta-Llama-3.1-8B")
    found = plan(spec, model, CATALOG)
    assert found.topology is not None and found.topology.groups == ()
    assert "export" not in launch_files(launch_of(found, model, CATALOG))["launch.sh"]


def test_a_plan_locked_before_it_knew_its_topology_still_launches() -> None:
    found = trained("p4d.24xlarge", 32, tensor=8, pipeline=8, context=1, micro_batch=1)
    old = Plan.model_validate_json(found.model_copy(update={"topology": None}).model_dump_json())
    launch = launch_of(old, load_model("meta-llama/Meta-Llama-3.1-70B"), CATALOG)
    assert [entry.variable for entry in launch.environment] == ["CUDA_DEVICE_MAX_CONNECTIONS"]


def test_reasons_of_several_lines_are_refused() -> None:
    bootstrap = NodeBootstrap(
        cluster="topology",
        scratch="none",
        nvme_disks=0,
        lustre=None,
        fabric="ethernet",
        rdma_cards=0,
        gpus=1,
        environment={"NCCL_X": "1"},
        reasons={"NCCL_X": "two\nlines"},
    )
    with pytest.raises(ValueError, match=r"NCCL_X.*one line"):
        cloud_init(bootstrap)
    assert "NCCL_X" in cloud_init(replace(bootstrap, reasons={}))


def test_a_variable_may_be_left_alone_with_a_reason() -> None:
    entry = Variable(variable="NCCL_PROTO", value=None, reason="the plugin knows", source="a")
    assert values((entry,)) == {} == reasons((entry,))
