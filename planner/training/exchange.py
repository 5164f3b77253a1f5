"""What replicas exchange in a step, and the optimizer that it feeds: gradients out, weights back."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from planner.plan.layout import Layout
from planner.sizing.communication import Ring
from planner.sizing.efficiency import KernelRates
from planner.sizing.optimizer_state import NF4_BYTES, OPTIMIZERS, StateRules
from planner.sizing.profile import ModelProfile
from planner.sizing.training_memory import trainable_parameters
from planner.training.compression import Compression
from planner.training.schedule import StageTime
from planner.training.shape import Shape
from provider_catalog.hardware import NodeTopology

OVERLAP_COST: Final = 0.3
"""Of communication that computation hides: NCCL's kernels take multiprocessors and memory bandwidth from it. Estimate,
0.2 to 1: what full sharding adds to the runs of docs/training.md with and without recompute."""
GATHERED_BYTES: Final = 2
"""Weights are gathered in 16 bits."""
HOST_BYTES_PER_S: Final = 12e9
"""Between a GPU and its host, by page faults in unified memory. Estimate, 3e9 to 25e9; PCIe 4.0 x16 carries 32e9."""


class Exchange(NamedTuple):
    """Seconds of the collectives between replicas, if nothing hides them."""

    scatter: float
    """Of gradients."""
    gather: float
    """Of weights."""
    again: float
    """The same for the backward pass of full sharding."""
    packing: float
    """Compression and its reverse."""


@dataclass(frozen=True)
class ReplicaExchange:
    """Communication between the replicas of one model on one kind of node. Holds what layouts have in common."""

    profile: ModelProfile
    node: NodeTopology
    rules: StateRules
    rates: KernelRates
    compression: Compression | None = None

    @cached_property
    def _exchanges(self) -> dict[tuple[object, ...], Exchange]:
        return {}

    @cached_property
    def _rings(self) -> dict[tuple[int, int], Ring]:
        return {}

    @cached_property
    def _trainable(self) -> tuple[float, float]:
        return trainable_parameters(self.profile, self.rules)

    def least_exposed_s(self, shape: Shape, data: int) -> float:
        """No more than `exposed_s`, at ZeRO 1 and whatever the schedule and the micro-batches."""
        if self.compression is not None:
            return 0.0
        plain = self._known(shape, data, None)
        exposed = OVERLAP_COST + (1 - OVERLAP_COST) * self._edge(shape.pipeline)
        return exposed * (plain.scatter + plain.gather)

    def packing_s(self, layout: Layout, micro_batches: int) -> float:
        """What compression itself takes of a step that is compressed; 0 without."""
        shape = Shape.of(layout)
        each = self._collectives(shape, layout.data, self.compression).packing
        return each * (micro_batches if layout.zero_stage >= 2 else 1)

    def optimizer_s(self, shape: Shape, data: int, zero_stage: int) -> float:
        """State is read and written once, gradients read, weights written; ZeRO leaves each rank its share."""
        dense, experts = self._trainable
        split = shape.split
        replicas = data * split.context
        state, paged = self._state_bytes
        ranks = split.tensor * shape.pipeline
        if zero_stage >= 1:
            held = (dense + experts) / (ranks * replicas)
        else:
            held = (dense + experts / min(split.expert, replicas)) / ranks * (2 if shape.two_way else 1)
        return self.rates.streaming_s(held * (state + paged)) + held * paged / HOST_BYTES_PER_S

    @cached_property
    def _state_bytes(self) -> tuple[float, float]:
        """What the optimizer moves of each parameter, (on the GPU alone, between GPU and host)."""
        optimizer = OPTIMIZERS[self.rules.optimizer]
        return 2 * optimizer.matrix + self.rules.gradient_bytes + GATHERED_BYTES, 2 * optimizer.paged

    def exposed_s(self, shape: Shape, data: int, zero_stage: int, time: StageTime, micro_batches: int) -> float:
        """What the exchange between replicas adds to a step on average, compressed where the workload asks for it."""
        plain = self._plain_or_compressed_s(shape, data, zero_stage, time, micro_batches, None)
        method = self.compression
        if method is None or not plain:
            return plain
        compressed = method.rounds * self._plain_or_compressed_s(shape, data, zero_stage, time, micro_batches, method)
        return method.warm_up * plain + (1 - method.warm_up) * compressed

    def _plain_or_compressed_s(
        self,
        shape: Shape,
        data: int,
        zero_stage: int,
        time: StageTime,
        micro_batches: int,
        method: Compression | None,
    ) -> float:
        """Gradient reduction and weight gathering between replicas that computation does not hide.

        ZeRO 0 all-reduces gradients, 1 scatters them and gathers weights once a step, 2 scatters after every
        micro-batch, 3 also gathers weights for each forward and backward pass (arXiv 1910.02054, section 7). The
        backward pass hides the scattering, the forward pass the gathering (Megatron-LM's overlap_grad_reduce and
        overlap_param_gather; FSDP, arXiv 2304.11277, section 3.3), but for the part of the first or last layer.
        """
        split = shape.split
        scatter, gather, again, packing = self._known(shape, data, method)
        if not scatter:
            return 0.0
        if self.rules.method != "full" and zero_stage == 3:
            ring = self._ring(data * split.context, max(1, self.node.gpus // split.tensor))
            # Frozen 4-bit weights travel as they are stored.
            frozen_bytes = NF4_BYTES if self.rules.method == "qlora" else GATHERED_BYTES
            frozen_s = ring.gather_s(frozen_bytes * self._frozen_parameters() / (split.tensor * shape.pipeline))
            gather, again = gather + frozen_s, again + frozen_s
        # One bucket or layer at each end of a pass has nothing to hide behind.
        edge = self._edge(shape.pipeline)
        late = edge if method is None or method.overlaps else 1.0
        forward, backward = time.forward, time.backward + time.weights
        if zero_stage == 0:
            return _exposed(2 * scatter, backward, late) + packing
        if zero_stage == 1:
            return _exposed(scatter, backward, late) + _exposed(gather, forward, edge) + packing
        if zero_stage == 2:
            return micro_batches * (_exposed(scatter, backward, late) + packing) + _exposed(gather, forward, edge)
        both = _exposed(gather, forward, edge) + _exposed(again + scatter, backward, late)
        return micro_batches * (both + packing)

    def _edge(self, pipeline: int) -> float:
        """One layer of those of a stage."""
        return 1 / max(1, -(-len(self.profile.layers) // pipeline))

    def _known(self, shape: Shape, data: int, method: Compression | None) -> Exchange:
        split = shape.split
        key = (split.tensor, shape.pipeline, split.context, split.expert, data, shape.two_way, method is None)
        known = self._exchanges.get(key)
        if known is None:
            known = self._exchanges[key] = self._collectives(shape, data, method)
        return known

    def _ring(self, ranks: int, per_node: int) -> Ring:
        key = (ranks, per_node)
        if key not in self._rings:
            self._rings[key] = Ring.of(self.node, ranks, per_node)
        return self._rings[key]

    def _collectives(self, shape: Shape, data: int, method: Compression | None) -> Exchange:
        """The collectives over all replicas, experts among those that hold the same."""
        split = shape.split
        holders = data * split.context
        replicas = holders * (2 if shape.two_way else 1)
        if replicas == 1:
            return Exchange(0.0, 0.0, 0.0, 0.0)
        dense, experts = self._trainable
        ranks, among = split.tensor * shape.pipeline, min(split.expert, holders)
        shares = [(dense / ranks, self._ring(replicas, max(1, self.node.gpus // split.tensor)))]
        if experts:
            per_node = max(1, self.node.gpus // (split.tensor * among))
            shares.append((experts / (ranks * among), self._ring(max(1, replicas // among), per_node)))
        scattered = self.rules.gradient_bytes if method is None else method.gradient_bits / 8
        gathered = GATHERED_BYTES if method is None else method.weight_bits / 8
        scatter = gather = packing = 0.0
        for share, ring in shares:
            scatter += ring.gather_s(scattered * share)
            gather += ring.gather_s(gathered * share)
        again = gather
        if method is not None:
            packing = self.rates.streaming_s(method.passes_bytes * sum(share for share, _ in shares))
            if method.gathers_backward_inside:
                again = sum(ring.inside(self.node).gather_s(GATHERED_BYTES * share) for share, ring in shares)
        return Exchange(scatter, gather, again, packing)

    def replica_bytes(self, layout: Layout, micro_batches: int) -> tuple[float, float]:
        """What a GPU sends in a step to those that hold the same weights: (dense layers, experts).

        As many scatters and gathers as `exposed_s` times.
        """
        split, pipeline, zero = Shape.of(layout).split, layout.pipeline, layout.zero_stage
        holders = layout.data * split.context
        dense, experts = self._trainable
        among = min(split.expert, holders)
        scatters = {0: 2, 1: 1}.get(zero, micro_batches)
        gathers = {0: 0, 3: 2 * micro_batches}.get(zero, 1)
        of_parameter = scatters * self.rules.gradient_bytes + gathers * GATHERED_BYTES
        adapters = self.rules.method != "full" and zero == 3
        frozen = 2 * micro_batches * GATHERED_BYTES * self._frozen_parameters() if adapters else 0.0
        ranks = split.tensor * pipeline
        return (
            (dense * of_parameter + frozen) / ranks * (holders - 1) / holders,
            experts / among * of_parameter / ranks * (1 - among / holders),
        )

    def _frozen_parameters(self) -> float:
        trained = sum(self._trainable)
        return max(self.profile.architecture.total_parameters - trained, 0.0)


def _exposed(communication_s: float, computing_s: float, edge: float) -> float:
    hidden = min(communication_s * (1 - edge), computing_s)
    return communication_s - hidden * (1 - OVERLAP_COST)
