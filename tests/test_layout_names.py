"""Short names of a layout, and the nodes that must work at the same time."""

import pytest

from planner.plan.layout import Layout

R1 = Layout(tensor=8, pipeline=2, expert=8)


def test_each_name_shows_the_degrees_that_its_readers_need() -> None:
    # Megatron-LM and vLLM write TP, PP, EP, CP and DP.
    assert R1.short_name == "TP8 PP2 EP8 DP1"
    assert R1.serving_name == "TP8 PP2 EP8"
    assert Layout(tensor=8, attention_data=8).serving_name == "TP8 PP1 DP-attention 8"
    layout = Layout(tensor=2, data=4, context=2, micro_batch=3, recompute="full")
    assert layout.short_name == "TP2 CP2 DP4"
    assert layout.training_name == "TP2 PP1 DP4 CP2 micro-batch 3 recompute full"


@pytest.mark.parametrize(
    ("tensor", "pipeline", "replicas", "nodes", "gang"),
    [
        (4, 1, 4, 2, 1),  # two replicas share a node
        (8, 1, 3, 3, 1),  # a replica fills a node
        (8, 2, 3, 6, 2),  # a replica takes two nodes
        (5, 2, 3, 4, 2),  # a replica of 10 GPUs reaches over two nodes of 8
    ],
)
def test_a_serving_gang_is_the_nodes_of_one_replica(
    tensor: int, pipeline: int, replicas: int, nodes: int, gang: int
) -> None:
    layout = Layout(tensor=tensor, pipeline=pipeline, data=replicas)
    assert layout.gang_nodes(nodes, training=False) == gang
    assert layout.nodes_per_replica(8) == gang
    assert layout.gang_nodes(nodes, training=True) == nodes
