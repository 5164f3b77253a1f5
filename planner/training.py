"""Training engine: step time, fit and utilisation of one layout by first-order formulas."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

from planner.candidate import Candidate, Miss
from planner.errors import SpecError
from planner.goodput import training_goodput
from planner.layout import divisors, training_layouts
from planner.parallelism import Layout, MemoryPerGpu
from planner.plan import TrainingPerformance
from planner.sizing.communication import Link, all_reduce_s, all_to_all_s, gather_or_scatter_s, links
from planner.sizing.efficiency import MEMORY_BANDWIDTH_EFFICIENCY
from planner.sizing.optimizer_state import StateRules
from planner.sizing.profile import ModelProfile
from planner.sizing.training_memory import trainable_parameters, training_memory
from planner.spec import Headroom, Pin, TrainingWorkload
from provider_catalog.hardware import Gpu, NodeTopology
from provider_catalog.precision import Precision

ACTIVATION_PASSES = 5
"""Times that a stored activation crosses the memory bus: written, read by the next kernel, read again in the backward
pass, and its gradient written and read. Estimate, 4 to 8 by how much is fused."""
BOUND_SLACK = 1.10
"""Layouts whose bound is this much above the best found are left out; what the bound does not see (storage that is
paid by the hour, runners-up worth showing) may differ by as much."""
OPTIMIZER_TRAFFIC_BYTES = 30
"""Per parameter: fp32 gradient (4) read, three fp32 states (12) read and written, bf16 weight (2) written."""


@dataclass(frozen=True)
class TrainingEngine:
    """First-order analytic engine for one training workload."""

    profile: ModelProfile
    workload: TrainingWorkload
    headroom: Headroom
    pin: Pin
    precision: Precision
    name: str = "analytic-training-1"

    @cached_property
    def rules(self) -> StateRules:
        """How the workload keeps its training state."""
        return StateRules.of(self.workload)

    @cached_property
    def passes(self) -> int:
        """Forward passes that forward and backward cost together.

        The backward pass takes twice the forward (Kaplan et al. 2020, arXiv 2001.08361, section 2.1), once where
        frozen weights need no gradient of their own; the adapters' own work is left out.
        """
        return 3 if self.rules.method == "full" else 2

    @cached_property
    def batch_sequences(self) -> int:
        """Sequences of one optimizer step."""
        return max(1, round(self.workload.global_batch_tokens / self.workload.sequence_length))

    def candidates(self, node: NodeTopology, max_nodes: int, multi_node: bool) -> Iterator[Candidate | Miss]:
        """For each split of the model, the fewest nodes that meet the deadline, or why none does.

        Raises:
            SpecError: a pinned layout contradicts the model or the node.
        """
        if self.precision not in node.gpu.peak_tflops:
            yield Miss(f"{node.gpu.name} has no {self.precision} arithmetic", float("inf"))
            return
        if not multi_node:
            max_nodes = 1
        if self.pin.nodes is not None:
            max_nodes = self.pin.nodes
        floor_nodes = self._fewest_nodes_by_compute(node)
        if floor_nodes > max_nodes and self.pin.nodes is None:
            yield Miss(
                f"even at {1 - self.headroom.compute_fraction:.0%} of peak compute the deadline of"
                f" {self.workload.deadline_days:g} days takes {floor_nodes} nodes; {max_nodes} may be used",
                floor_nodes / max_nodes,
                fits_memory=True,
            )
            return
        layouts = training_layouts(self.profile.architecture, node, self.workload, self.pin, max_nodes)
        by_bound = sorted(((self._busy_gpu_s(node, layout), i, layout) for i, layout in enumerate(layouts)))
        best_gpu_s = float("inf")
        for bound_gpu_s, _, layout in by_bound:
            if bound_gpu_s > best_gpu_s * BOUND_SLACK:
                return
            found = self._fewest_nodes(node, layout, max_nodes)
            if isinstance(found, Candidate):
                best_gpu_s = min(best_gpu_s, 1 / found.performance.tokens_per_s_per_gpu)
            yield found

    def _busy_gpu_s(self, node: NodeTopology, layout: Layout) -> float:
        """GPU seconds a token takes at least: no bubble, nothing exposed between replicas. A bound for the search."""
        tokens = layout.micro_batch * self.workload.sequence_length
        return sum(self._micro_batch_parts_s(node, layout).values()) * layout.gpus_per_replica / tokens

    def _fewest_nodes(self, node: NodeTopology, split: Layout, max_nodes: int) -> Candidate | Miss:
        """The smallest data-parallel degree of a split that meets the deadline, found by bisection."""
        step = _lowest_data_step(split.gpus_per_replica, node.gpus)
        nodes_per_step = step * split.gpus_per_replica // node.gpus
        if nodes_per_step > max_nodes:
            return Miss(
                f"{_split_name(split)} needs {nodes_per_step} nodes at least; {max_nodes} may be used",
                nodes_per_step / max_nodes,
            )
        if self.pin.nodes is not None or self.pin.layout.data is not None:
            data = self._pinned_data(node, split)
            if data is None:
                return Miss(f"{_split_name(split)} does not fill {self.pin.nodes} nodes", float("inf"))
            return self._evaluate(node, replace(split, data=data))
        highest = max_nodes // nodes_per_step * step
        degrees = [d for d in self._data_degrees(split.micro_batch) if d <= highest and d % step == 0]
        degrees = [d for d in degrees if d * split.context % split.expert == 0]
        if not degrees:
            return Miss(
                f"no data-parallel degree divides the {self.batch_sequences} sequences of a batch into micro-batches of"
                f" {split.micro_batch} and fills whole nodes of {node.gpus} GPUs; change workload.global_batch_tokens",
                float("inf"),
            )
        best = self._evaluate(node, replace(split, data=degrees[-1]))
        if isinstance(best, Miss):
            return best
        low, high = 0, len(degrees) - 1
        while low < high:
            middle = (low + high) // 2
            found = self._evaluate(node, replace(split, data=degrees[middle]))
            if isinstance(found, Candidate):
                best, high = found, middle
            else:
                low = middle + 1
        return best

    def _data_degrees(self, micro_batch: int) -> list[int]:
        """Degrees that give every rank the same number of whole micro-batches, as training frameworks require."""
        micro_batches, rest = divmod(self.batch_sequences, micro_batch)
        return [] if rest else divisors(micro_batches)

    def _pinned_data(self, node: NodeTopology, split: Layout) -> int | None:
        """The data-parallel degree that the pins leave; None when a split of our own choice leaves a remainder."""
        data = self.pin.layout.data
        if self.pin.nodes is None:
            return data or 1
        gpus = self.pin.nodes * node.gpus
        derived, rest = divmod(gpus, split.gpus_per_replica)
        if rest or derived == 0:
            if self.pin.layout.tensor is None or self.pin.layout.pipeline is None:
                return None
            raise SpecError(
                f"pin: {self.pin.nodes} nodes are {gpus} GPUs, not a multiple of tensor x pipeline x context ="
                f" {split.gpus_per_replica}; change pin.nodes or pin.layout"
            )
        if data is not None and data != derived:
            raise SpecError(
                f"pin.layout.data is {data}, but {gpus} GPUs at {split.gpus_per_replica} a replica make it {derived};"
                " change pin.nodes, or leave data out"
            )
        return derived

    def _fewest_nodes_by_compute(self, node: NodeTopology) -> int:
        """No layout can beat all GPUs at the allowed share of peak."""
        seconds = self.workload.deadline_days * 86400
        needed = self._model_flops_per_token() * self.workload.tokens / seconds
        return max(1, ceil(needed / (self._gpu_flops(node.gpu) * node.gpus)))

    def _gpu_flops(self, gpu: Gpu) -> float:
        return gpu.peak_tflops[self.precision] * 1e12 * (1 - self.headroom.compute_fraction)

    def _model_flops_per_token(self) -> float:
        """Forward and backward."""
        forward = self.profile.matmul_flops_per_token + self.profile.causal_attention_flops_per_token(
            self.workload.sequence_length
        )
        return self.passes * forward

    def _evaluate(self, node: NodeTopology, layout: Layout) -> Candidate | Miss:
        """Memory and time of one complete layout."""
        micro_batches = max(1, ceil(self.batch_sequences / (layout.data * layout.micro_batch)))
        nodes = ceil(layout.gpus / node.gpus)
        memory = training_memory(
            self.profile,
            layout,
            self.workload.sequence_length,
            micro_batches,
            int(node.gpu_memory_bytes * self.headroom.memory_fraction),
            self.workload.flash_attention,
            self.rules,
        )
        pinned = self.pin.nodes is not None or self.pin.layout.data is not None
        if memory.total_bytes > memory.capacity_bytes and not pinned:
            return Miss(_memory_reason(layout, memory), memory.total_bytes / memory.capacity_bytes)
        performance = self._performance(node, layout, micro_batches)
        if performance.days > self.workload.deadline_days and not pinned:
            return Miss(
                f"{_split_name(layout)} on {nodes} nodes takes {performance.days:.1f} days,"
                f" {performance.days - self.workload.deadline_days:.1f} more than the deadline",
                performance.days / self.workload.deadline_days,
                fits_memory=True,
            )
        return Candidate(nodes, layout, self.precision, self.precision, memory, performance)

    def _performance(self, node: NodeTopology, layout: Layout, micro_batches: int) -> TrainingPerformance:
        breakdown = self._step_breakdown(node, layout, micro_batches)
        step_time_s = sum(breakdown.values())
        step_tokens = self.batch_sequences * self.workload.sequence_length
        steps = max(1, ceil(self.workload.tokens / step_tokens))
        model_flops = self._model_flops_per_token() * step_tokens
        hardware_flops = model_flops * self._recompute_factor(layout)
        peak = node.gpu.peak_tflops[self.precision] * 1e12
        gpu_seconds = step_time_s * layout.gpus
        goodput = training_goodput(layout.gpus)
        days = steps * step_time_s / 86400 / goodput
        return TrainingPerformance(
            engine=self.name,
            step_time_s=step_time_s,
            steps=steps,
            mfu=model_flops / gpu_seconds / peak,
            hfu=hardware_flops / gpu_seconds / peak,
            tflops_per_gpu=model_flops / gpu_seconds / 1e12,
            tokens_per_s_per_gpu=step_tokens / gpu_seconds,
            goodput=goodput,
            gpu_hours=days * 24 * layout.gpus,
            days=days,
            breakdown_s=breakdown,
        )

    def _step_breakdown(self, node: NodeTopology, layout: Layout, micro_batches: int) -> dict[str, float]:
        """Seconds of one optimizer step on the slowest stage: compute, bubble and exposed communication.

        The bubble is (p-1)/(m·v) of the work of a stage (Narayanan et al. 2021, arXiv 2104.04473, section 2.2).
        """
        parts = self._micro_batch_parts_s(node, layout)
        inside, between = links(node)
        return {
            **{name: micro_batches * seconds for name, seconds in parts.items()},
            "optimizer": self._optimizer_s(node, layout),
            "pipeline_bubble": sum(parts.values()) * (layout.pipeline - 1) / layout.virtual_stages,
            "data_parallel": self._data_parallel_s(node, layout, parts["compute"], inside, between, micro_batches),
        }

    def _micro_batch_parts_s(self, node: NodeTopology, layout: Layout) -> dict[str, float]:
        """Seconds that one micro-batch keeps the slowest stage busy."""
        inside, between = links(node)
        crosses_nodes = layout.gpus_per_replica > node.gpus
        return {
            "compute": self._micro_batch_compute_s(node, layout),
            "tensor_parallel": self._tensor_parallel_s(layout, inside if layout.tensor <= node.gpus else between),
            "expert_parallel": self._expert_parallel_s(
                layout, inside if layout.expert * layout.tensor <= node.gpus else between
            ),
            "pipeline_transfers": self._pipeline_s(layout, between if crosses_nodes else inside),
        }

    def _recompute_factor(self, layout: Layout) -> float:
        """FLOPs of a step over those of the model: full recompute runs one more forward pass."""
        return (self.passes + 1) / self.passes if layout.recompute == "full" else 1.0

    def _micro_batch_compute_s(self, node: NodeTopology, layout: Layout) -> float:
        """Forward and backward of one micro-batch on the stage with the most layers."""
        layers = len(self.profile.layers)
        imbalance = ceil(layers / layout.pipeline) * layout.pipeline / layers
        tokens = layout.micro_batch * self.workload.sequence_length
        flops = self._model_flops_per_token() * self._recompute_factor(layout) * tokens * imbalance
        return flops / (layout.gpus_per_replica * self._gpu_flops(node.gpu)) + self._elementwise_s(node, layout)

    def _elementwise_s(self, node: NodeTopology, layout: Layout) -> float:
        """Kernels that move data and hardly compute (norms, activations, residuals): activations over bandwidth."""
        stage = self.profile.stages(layout.pipeline)[0]
        tokens = layout.micro_batch * self.workload.sequence_length / layout.context
        stored = stage.replicated_activation_bytes / (layout.tensor if layout.sequence_parallel else 1)
        stored += stage.sharded_activation_bytes / layout.tensor
        if not self.workload.flash_attention:
            stored += stage.score_activation_bytes_per_context_token * self.workload.sequence_length / layout.tensor
        passes = ACTIVATION_PASSES + (2 if layout.recompute == "full" else 0)
        return tokens * stored * passes / _memory_bytes_per_s(node.gpu)

    def _optimizer_s(self, node: NodeTopology, layout: Layout) -> float:
        """AdamW reads and writes its state once a step; ZeRO leaves each rank its share."""
        shard = sum(trainable_parameters(self.profile, self.rules)) / (layout.tensor * layout.pipeline)
        if layout.zero_stage >= 1:
            shard /= layout.data * layout.context
        return shard * OPTIMIZER_TRAFFIC_BYTES / _memory_bytes_per_s(node.gpu)

    def _stage_layers(self, layout: Layout) -> int:
        return ceil(len(self.profile.layers) / layout.pipeline)

    def _tensor_parallel_s(self, layout: Layout, link: Link) -> float:
        """Four all-reduces a layer and micro-batch, six under full recompute, of s·b·h values in 16 bits.

        Narayanan et al. 2021 (arXiv 2104.04473), section 3.2; sequence parallelism moves the same bytes as
        all-gather and reduce-scatter (Korthikanti et al. 2022, section 4.2.2).
        """
        if layout.tensor == 1:
            return 0.0
        tokens = layout.micro_batch * self.workload.sequence_length / layout.context
        payload = 2 * tokens * self.profile.architecture.hidden_size
        passes = 6 if layout.recompute == "full" else 4
        return self._stage_layers(layout) * passes * all_reduce_s(payload, layout.tensor, link)

    def _expert_parallel_s(self, layout: Layout, link: Link) -> float:
        """Dispatch and combine, forward and backward, of every token's top-k copies in 16 bits."""
        if layout.expert == 1:
            return 0.0
        tokens = layout.micro_batch * self.workload.sequence_length / (layout.context * layout.tensor)
        copies = sum(layer.expert_tokens for layer in self.profile.layers) / layout.pipeline
        payload = 2 * tokens * self.profile.architecture.hidden_size
        return copies * 4 * all_to_all_s(payload, layout.expert, link)

    def _pipeline_s(self, layout: Layout, link: Link) -> float:
        """Activations to the next stage and gradients back, once per model chunk."""
        if layout.pipeline == 1:
            return 0.0
        tokens = layout.micro_batch * self.workload.sequence_length / layout.context
        payload = 2 * tokens * self.profile.architecture.hidden_size / layout.tensor
        return 2 * layout.virtual_stages * (payload / link.bytes_per_s + link.hop_latency_s)

    def _data_parallel_s(
        self, node: NodeTopology, layout: Layout, work: float, inside: Link, between: Link, micro_batches: int
    ) -> float:
        """Exposed part of the gradient reduction and weight gathering.

        fp32 gradients are reduced and 16-bit weights gathered once a step (ZeRO 1, arXiv 1910.02054, section 7.1);
        the backward pass of the last micro-batch hides the reduction and the next forward the gathering. ZeRO 3
        gathers the weights again for every forward and backward pass.
        """
        replicas = layout.data * layout.context
        if replicas == 1:
            return 0.0
        dense, experts = trainable_parameters(self.profile, self.rules)
        shard = (dense + experts / layout.expert) / (layout.tensor * layout.pipeline)
        link = inside if layout.gpus <= node.gpus else between
        reduce_s = gather_or_scatter_s(4 * shard, replicas, link)
        gather_s = gather_or_scatter_s(2 * shard, replicas, link)
        forward = work / self.passes
        backward = work - forward
        if layout.zero_stage == 3:
            per_micro_batch = max(0.0, gather_s - forward) + max(0.0, gather_s + reduce_s - backward)
            return micro_batches * per_micro_batch
        return max(0.0, reduce_s - backward) + max(0.0, gather_s - forward)


def _memory_bytes_per_s(gpu: Gpu) -> float:
    return gpu.memory_bandwidth_gb_per_s * 1e9 * MEMORY_BANDWIDTH_EFFICIENCY


def _lowest_data_step(gpus_per_replica: int, gpus_per_node: int) -> int:
    """The smallest data-parallel degree that fills whole nodes; every legal one is a multiple of it."""
    step = 1
    while step * gpus_per_replica % gpus_per_node:
        step += 1
    return step


def _split_name(layout: Layout) -> str:
    parts = [f"TP{layout.tensor}", f"PP{layout.pipeline}", f"DP{layout.data}"]
    parts += [f"EP{layout.expert}"] if layout.expert > 1 else []
    return " ".join([*parts, f"micro-batch {layout.micro_batch}", f"recompute {layout.recompute}"])


def _memory_reason(layout: Layout, memory: MemoryPerGpu) -> str:
    gib = 2**30
    return (
        f"{_split_name(layout)} needs {memory.total_bytes / gib:.1f} GiB a GPU ({memory.rank}),"
        f" {memory.capacity_bytes / gib:.1f} GiB may be used"
    )
