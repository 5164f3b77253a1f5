"""What a GPU sends in one optimizer step, by the kind of group it sends to."""

from planner.plan.layout import Layout
from planner.plan.topology import GroupKind
from planner.training.shape import Shape
from planner.training.step_time import StepModel


def step_bytes(model: StepModel, layout: Layout, micro_batches: int) -> dict[GroupKind, float]:
    """Bytes, mean over the stages of the pipeline, whether computation hides them or not.

    The same payloads as those that the step time is made of. An all-reduce of n ranks sends 2·(n-1)/n of its payload
    from each (Thakur et al. 2005, section 3.4.3), an all-gather or a reduce-scatter half of that.
    """
    traffic, split = model.traffic, Shape.of(layout).split
    tensor = context = expert = 0.0
    for group in model.profile.architecture.layers:
        count = group.count * micro_batches / layout.pipeline
        tensor += count * sum(traffic.tensor_bytes(group, split)) * 2 * (split.tensor - 1) / split.tensor
        # Keys and values forward; again backward, and their gradients.
        rounds = 3 + (split.recompute == "full")
        context += count * traffic.context_bytes(group, split) * (split.context - 1) * rounds
        expert += count * sum(traffic.expert_values(group, split)) * sum(traffic.expert_bytes(split))
    dense, experts = model.exchange.replica_bytes(layout, micro_batches)
    # Interleaved stages pass a micro-batch on once for every chunk; the last stage sends nothing forward.
    hops = 2 * (layout.pipeline * layout.virtual_stages - 1) / layout.pipeline
    return {
        "tensor": tensor,
        "context": context,
        "expert": expert,
        "data": dense,
        "expert-data": experts,
        "pipeline": micro_batches * hops * traffic.transfer_bytes(split),
    }
