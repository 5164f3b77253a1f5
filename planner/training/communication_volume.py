"""Bytes that a GPU sends in one optimizer step, by kind of process group."""

from planner.plan.layout import Layout
from planner.plan.topology import GroupKind
from planner.training.replica_layout import ReplicaLayout
from planner.training.step_time import StepModel


def step_bytes(model: StepModel, layout: Layout, micro_batches: int) -> dict[GroupKind, float]:
    """Return the bytes that a GPU sends per step, as the mean over the pipeline stages, hidden communication included.

    The payloads are those of the step time. In an all-reduce of n ranks each sends 2·(n-1)/n of the payload (Thakur et
    al. 2005, section 3.4.3); in an all-gather or a reduce-scatter each sends half of that.
    """
    traffic, split = model.traffic, ReplicaLayout.of(layout).split
    tensor = context = expert = 0.0
    for group in model.profile.architecture.layers:
        count = group.count * micro_batches / layout.pipeline
        tensor += count * sum(traffic.tensor_bytes(group, split)) * 2 * (split.tensor - 1) / split.tensor
        # The ring carries keys and values once forward, and keys, values and their gradients backward.
        rounds = 3 + (split.recompute == "full")
        context += count * traffic.context_bytes(group, split) * (split.context - 1) * rounds
        expert += count * sum(traffic.expert_values(group, split)) * sum(traffic.expert_bytes(split))
    dense, experts = model.exchange.replica_bytes(layout, micro_batches)
    # An interleaved stage sends a micro-batch once per chunk; the last stage sends nothing forward.
    hops = 2 * (layout.pipeline * layout.virtual_stages - 1) / layout.pipeline
    return {
        "tensor": tensor,
        "context": context,
        "expert": expert,
        "data": dense,
        "expert-data": experts,
        "pipeline": micro_batches * hops * traffic.transfer_bytes(split),
    }
