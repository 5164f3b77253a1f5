"""Proposals of gradient compression that would shorten the step of a plan."""

from dataclasses import replace
from math import ceil
from typing import Any, Final

from planner.engine.candidate import Candidate
from planner.errors import SpecError
from planner.plan.alternatives import CompressionProposal
from planner.plan.layout import Layout
from planner.plan.performance import TrainingPerformance
from planner.training.compression import METHODS, Compression, compression_of, constrained_pin
from planner.training.data_parallel_exchange import GATHERED_BYTES
from planner.training.engine import TrainingEngine
from provider_catalog.hardware import NodeTopology

EXPOSED_SHARE: Final = 0.05
"""Share of a step in exposed data-parallel communication from which proposals are made. Our own choice."""
WORTH_SHARE: Final = 0.01
"""Smallest share of a step that a proposal must save. Our own choice."""
BF16_GRADIENTS: Final = "workload.gradient_precision: bf16"
BF16_CAVEAT: Final = (
    "sums over many replicas and micro-batches lose low bits; Megatron-LM and DeepSpeed sum in fp32 by default"
    " (accumulate-allreduce-grads-in-fp32, communication_data_type)"
)


def compression_proposals(
    engine: TrainingEngine, candidate: Candidate, node: NodeTopology, usd_per_hour: float | None
) -> tuple[CompressionProposal, ...]:
    """Return proposals that shorten data-parallel communication, the largest saving first.

    There are none where little of that communication is exposed.

    Args:
        engine: Engine that found the candidate.
        candidate: Candidate of the plan.
        node: Kind of node of the candidate.
        usd_per_hour: Price of the whole cluster; None if unknown.
    """
    performance, layout = candidate.performance, candidate.layout
    if not isinstance(performance, TrainingPerformance) or engine.workload.gradient_compression != "none":
        return ()
    exposed_s = performance.breakdown_s.get("data_parallel", 0.0)
    if exposed_s < EXPOSED_SHARE * performance.step_time_s or engine.workload.method != "full":
        return ()
    proposals = []
    for setting, changed, method in _changes(engine, layout):
        micro_batches = ceil(engine.batch_sequences / (layout.data * layout.micro_batch))
        on = layout if method is None else replace(layout, zero_stage=method.zero_stages[0])
        memory = changed.memory(node, on, micro_batches)
        model = changed.step_model(node)
        step_s = sum(model.breakdown_s(on, micro_batches).values())
        saved_s = min(performance.step_time_s - step_s, exposed_s)
        if memory.total_bytes > memory.capacity_bytes or saved_s < WORTH_SHARE * performance.step_time_s:
            continue
        share = saved_s / performance.step_time_s
        proposals.append(
            CompressionProposal(
                setting=setting,
                traffic_share=_traffic_share(engine, layout, changed, method),
                step_time_s=performance.step_time_s - saved_s,
                saved_s=saved_s,
                saved_usd_per_day=None if usd_per_hour is None else usd_per_hour * 24 * share,
                packing_s=model.exchange.packing_s(on, micro_batches),
                memory_bytes=memory.total_bytes - candidate.memory.total_bytes,
                layout=on,
                software="any" if method is None else method.software,
                caveat=BF16_CAVEAT if method is None else method.caveat,
            )
        )
    return tuple(sorted(proposals, key=lambda proposal: (-proposal.saved_s, proposal.setting)))


def _changes(engine: TrainingEngine, layout: Layout) -> list[tuple[str, TrainingEngine, Compression | None]]:
    """Return the settings that a layout supports, each with the engine that uses it."""
    changes: list[tuple[str, TrainingEngine, Compression | None]] = []
    if engine.workload.gradient_precision == "fp32":
        changes.append((BF16_GRADIENTS, _with(engine, gradient_precision="bf16"), None))
    for name, method in METHODS.items():
        changed = _with(engine, gradient_compression=name)
        try:
            constrained_pin(engine.pin, changed.workload)
        except SpecError:
            continue
        if _runs_on(method, layout):
            changes.append((f"workload.gradient_compression: {name}", changed, method))
    return changes


def _runs_on(method: Compression, layout: Layout) -> bool:
    """Return whether a method supports a layout; giving up the sharding of optimizer state (ZeRO 1) is allowed."""
    sharded_alike = layout.zero_stage in method.zero_stages or (layout.zero_stage == 1 and 0 in method.zero_stages)
    alone = layout.tensor == layout.context == layout.expert == 1
    return sharded_alike and (method.pipelines or layout.pipeline == 1) and (alone or not method.replicas_only)


def _with(engine: TrainingEngine, **changed: Any) -> TrainingEngine:
    return replace(engine, workload=engine.workload.model_copy(update=changed))


def _traffic_share(
    engine: TrainingEngine, layout: Layout, changed: TrainingEngine, method: Compression | None
) -> float:
    """Return the network bytes per parameter with the change, as a share of those without it."""
    gathers = {0: 0, 1: 1, 2: 1, 3: 2}[layout.zero_stage]
    scatters = 2 if layout.zero_stage == 0 else 1
    before = scatters * engine.rules.gradient_bytes + gathers * GATHERED_BYTES
    if method is None:
        return (scatters * changed.rules.gradient_bytes + gathers * GATHERED_BYTES) / before
    packed = compression_of(changed.workload, changed.profile, changed.rules) or method
    gathered_bits = packed.weight_bits if packed.gathers_backward_inside else packed.gradient_bits
    after = (packed.gradient_bits + gathered_bits) / 8
    return method.warm_up + (1 - method.warm_up) * method.rounds * after / before
