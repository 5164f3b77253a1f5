"""The training engine: it finds layouts for a workload on one kind of node, or says what is missing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil, inf

from planner.engine.candidate import NO_INCUMBENTS, Candidate, Incumbents, NearMiss
from planner.errors import SpecError
from planner.plan.layout import Layout, MemoryPerGpu
from planner.plan.performance import TrainingPerformance
from planner.reliability.checkpoints import checkpoint_bytes
from planner.reliability.failures import FailureModel, NodeEnvironment
from planner.sizing.efficiency import best_flops_per_s
from planner.sizing.legal_layouts import batch_sequences, check_pins
from planner.sizing.optimizer_state import StateRules
from planner.sizing.profile import ModelProfile
from planner.sizing.training_memory import training_memory
from planner.spec import Headroom, Pin, TrainingWorkload
from planner.training.closest_layouts import memory_reason
from planner.training.compression import Compression, compression_of, kept_bytes
from planner.training.data_parallel_degrees import whole_node_replicas
from planner.training.layout_search import COST_WINDOW, FastestLayout, LayoutSearch
from planner.training.peak_gpu_memory import PeakGpuMemory
from planner.training.pin_errors import check_product, no_layout
from planner.training.replica_layout import ReplicaLayout
from planner.training.step_cache import StepCache
from planner.training.step_time import StepModel
from planner.vocabulary import ZeroStage
from provider_catalog.hardware import NodeTopology
from provider_catalog.precision import Precision

PINNED_OVERFILL = (1.0, 1.25, inf)
"""Limits on memory over usable memory that the search of a pinned cluster tries in turn. The memory model may be off by
a quarter, and an overfull layout that the plan reports as such is better than none."""
NOTED_LOSS = 0.1
"""Share of the time lost to failures and checkpoints from which the reason of a miss names it. Our own choice."""


@dataclass(frozen=True)
class TrainingEngine:
    """Finds the fastest layouts of one training workload analytically."""

    profile: ModelProfile
    workload: TrainingWorkload
    headroom: Headroom
    pin: Pin
    precision: Precision
    name: str = "analytic-training-2"
    step_cache: StepCache = field(default_factory=StepCache)
    wants_nearest: bool = True
    """Whether a miss names the closest layout. The search is faster without."""

    @cached_property
    def rules(self) -> StateRules:
        """Formats and optimizer of the training state."""
        return StateRules.of(self.workload, self.profile.architecture)

    @cached_property
    def passes(self) -> int:
        """FLOPs of forward and backward pass together, in forward passes.

        The backward pass takes twice the FLOPs of the forward pass (Kaplan et al. 2020, arXiv 2001.08361, section 2.1),
        and as many as the forward pass where weights are frozen. The FLOPs of adapters are not counted.
        """
        return 3 if self.rules.method == "full" else 2

    @cached_property
    def batch_sequences(self) -> int:
        """Sequences of one optimizer step."""
        return batch_sequences(self.workload)

    def candidates(
        self,
        node: NodeTopology,
        max_nodes: int,
        multi_node: bool,
        node_environment: NodeEnvironment | None = None,
        incumbents: Incumbents = NO_INCUMBENTS,
    ) -> Iterator[Candidate | NearMiss]:
        """Yield the fastest layout for each number of nodes that is faster than all smaller numbers, or a miss.

        Raises:
            SpecError: A pinned layout contradicts the model or the node.
        """
        if self.precision not in node.gpu.peak_tflops:
            yield NearMiss(f"{node.gpu.name} has no {self.precision} arithmetic", inf)
            return
        check_pins(self.profile.architecture, self.workload, self.pin, self.batch_sequences)
        pinned = self.pin.nodes is not None or self.pin.layout.data is not None
        if not multi_node:
            max_nodes = 1
        floor_nodes = self._fewest_nodes_by_compute(node)
        if floor_nodes > max_nodes and not pinned:
            best = best_flops_per_s(node.gpu, self.precision, self.headroom.compute_fraction)
            yield NearMiss(
                f"even at {best / (node.gpu.peak_tflops[self.precision] * 1e12):.0%} of peak compute the deadline of"
                f" {self.workload.deadline_days:g} days takes {floor_nodes} nodes; {max_nodes} may be used",
                floor_nodes / max_nodes,
                fits_memory=True,
                bound=True,
            )
            return
        failures = self.failure_model(node, node_environment or NodeEnvironment())
        yield from self._pinned(node, failures) if pinned else self._free(node, max_nodes, failures, incumbents)

    def _free(
        self, node: NodeTopology, max_nodes: int, failures: FailureModel, incumbents: Incumbents
    ) -> Iterator[Candidate | NearMiss]:
        max_gpus = max_nodes * node.gpus
        replicas = whole_node_replicas(self.batch_sequences, node.gpus, max_gpus)
        least_gpus = self._fewest_nodes_by_compute(node) * node.gpus
        deadline_days = self.workload.deadline_days
        search = self._search(node, failures, least_gpus, max_gpus, replicas, deadline_days=deadline_days)
        if incumbents.runs:
            search.days_beaten = lambda gpus: incumbents.days_beaten(gpus / node.gpus)
        found = search.run(self._found)
        self._found.extend(found.values())
        slower, cheapest = inf, min((gpus * one.step_s for gpus, one in found.items()), default=inf)
        for gpus in sorted(found):
            step_s = found[gpus].step_s
            if step_s >= slower:
                continue
            slower = step_s
            dear = gpus * step_s > cheapest * COST_WINDOW
            if dear and self.days(failures, gpus, step_s) >= incumbents.days_beaten(gpus / node.gpus):
                continue
            yield self._candidate(node, failures, found[gpus])
        if not found:
            yield self._nearest_miss(node, failures, search, max_nodes)

    @cached_property
    def _found(self) -> list[FastestLayout]:
        """Fastest layouts of machines that were searched before."""
        return []

    def _pinned(self, node: NodeTopology, failures: FailureModel) -> Iterator[Candidate | NearMiss]:
        """Yield the fastest layout of a pinned cluster, even if it misses the deadline or does not fit into memory."""
        gpus = self.pin.nodes * node.gpus if self.pin.nodes else None
        check_product(self.pin, node)

        def replicas(per_replica: int, micro_batch: int) -> list[tuple[int, int]]:
            data = self.pin.layout.data
            if gpus is not None:
                derived, rest = divmod(gpus, per_replica)
                if rest or derived == 0 or data not in (None, derived):
                    return []
                data = derived
            if data is None or data * micro_batch > self.batch_sequences:
                return []
            return [(data, ceil(self.batch_sequences / (data * micro_batch)))]

        most = gpus or 1 << 24
        for capacity in PINNED_OVERFILL:
            search = self._search(node, failures, gpus or 1, most, replicas, capacity=capacity)
            found = search.run()
            if found:
                yield from (self._candidate(node, failures, found[count]) for count in sorted(found))
                return
        architecture = self.profile.architecture
        raise SpecError(no_layout(self.pin, node, self.workload, architecture, self.batch_sequences))

    def _search(
        self,
        node: NodeTopology,
        failures: FailureModel,
        least_gpus: int,
        max_gpus: int,
        replicas: Callable[[int, int], list[tuple[int, int]]],
        capacity: float = 1.0,
        deadline_days: float = inf,
    ) -> LayoutSearch:
        return LayoutSearch(
            architecture=self.profile.architecture,
            workload=self.workload,
            pin=self.pin,
            model=self.step_model(node),
            evaluator=_LayoutEvaluator(self, node, failures, self.usable_bytes(node)),
            batch_sequences=self.batch_sequences,
            least_gpus=least_gpus,
            max_gpus=max_gpus,
            replicas=replicas,
            capacity=capacity,
            deadline_days=deadline_days,
            wants_nearest=self.wants_nearest,
        )

    def step_model(self, node: NodeTopology) -> StepModel:
        """Return the step times of the workload on one kind of node."""
        return self.step_cache.step_model(
            self.profile,
            self.workload,
            self.rules,
            self.compression,
            self.precision,
            self.headroom.compute_fraction,
            node,
        )

    @cached_property
    def compression(self) -> Compression | None:
        """Gradient compression of the workload; None without compression."""
        return compression_of(self.workload, self.profile, self.rules)

    def _nearest_miss(
        self, node: NodeTopology, failures: FailureModel, search: LayoutSearch, max_nodes: int
    ) -> NearMiss:
        nearest = search.nearest
        if nearest.late is not None:
            layout, _, _ = nearest.late
            late = nearest.days - self.workload.deadline_days
            nodes = layout.gpus // node.gpus
            lost = 1 - failures.goodput(layout.gpus)
            of_which = f" ({lost:.0%} of them lost to failures and checkpoints)" if lost >= NOTED_LOSS else ""
            return NearMiss(
                f"{layout.training_name} on {nodes} node{'' if nodes == 1 else 's'} takes {nearest.days:.3g} days"
                f"{of_which}, {late:.3g} more than the deadline",
                nearest.days / self.workload.deadline_days,
                fits_memory=True,
            )
        if nearest.memory is not None:
            layout, micro_batches = nearest.memory
            return NearMiss(memory_reason(layout, self.memory(node, layout, micro_batches)), nearest.memory_ratio)
        return NearMiss(
            f"no layout divides the {self.batch_sequences} sequences of a batch into whole micro-batches and fills"
            f" whole nodes of {node.gpus} GPUs, {max_nodes} at most; change workload.global_batch_tokens",
            inf,
        )

    def fastest_days(
        self, node: NodeTopology, max_nodes: int, node_environment: NodeEnvironment, known_days: float = inf
    ) -> float:
        """Return the days of the fastest run on at most `max_nodes`, at any cost; `known_days` where none is faster."""
        if self.precision not in node.gpu.peak_tflops:
            return known_days
        failures, max_gpus = self.failure_model(node, node_environment), max_nodes * node.gpus
        replicas = whole_node_replicas(self.batch_sequences, node.gpus, max_gpus)
        search = self._search(node, failures, node.gpus, max_gpus, replicas, deadline_days=0.0)
        # With a deadline of 0 every layout is late, and the fastest so far bounds the search.
        search.nearest.days = known_days
        search.run()
        return search.nearest.days

    def least_node_hours(self, node: NodeTopology) -> float:
        """Return a lower bound on node-hours: no GPU is ever idle and no communication between replicas is exposed."""
        if self.precision not in node.gpu.peak_tflops:
            return 0.0
        failures = self.failure_model(node, NodeEnvironment())
        search = self._search(node, failures, node.gpus, node.gpus, lambda per_replica, micro_batch: [])
        return search.least_gpu_s_per_token() * self.workload.computed_tokens / (node.gpus * 3600)

    def _fewest_nodes_by_compute(self, node: NodeTopology) -> int:
        rate = best_flops_per_s(node.gpu, self.precision, self.headroom.compute_fraction)
        needed = self._model_flops_per_token() * self.workload.computed_tokens / (self.workload.deadline_days * 86400)
        return max(1, ceil(needed / (rate * node.gpus)))

    def _model_flops_per_token(self) -> float:
        """Return the FLOPs of forward and backward pass; of causal attention, the half that the mask keeps."""
        return self.passes * (self.profile.matmul_flops_per_token + self._attention_flops_per_token)

    @cached_property
    def _attention_flops_per_token(self) -> float:
        return self.profile.causal_attention_flops_per_token(self.workload.sequence_length)

    def _hardware_flops_per_token(self, layout: Layout) -> float:
        """Return the FLOPs of the model and of recomputation."""
        again = 0.0
        if layout.recompute == "full":
            again = self._model_flops_per_token() / self.passes
        elif layout.recompute == "selective" and not self.workload.flash_attention:
            again = self._attention_flops_per_token
        return self._model_flops_per_token() + again

    def memory(self, node: NodeTopology, layout: Layout, micro_batches: int) -> MemoryPerGpu:
        """Return the memory of the fullest GPU."""
        memory = training_memory(
            self.profile,
            layout,
            self.workload.sequence_length,
            micro_batches,
            self.usable_bytes(node),
            self.workload.flash_attention,
            self.rules,
        )
        if self.compression is None:
            return memory
        kept = kept_bytes(self.compression, memory, layout, node)
        return replace(
            memory,
            overhead_bytes=memory.overhead_bytes + kept,
            total_bytes=memory.total_bytes + kept,
            overhead={**memory.overhead, "gradient_compression": kept},
        )

    @cached_property
    def peak_gpu_memory(self) -> PeakGpuMemory:
        """Memory of the fullest GPU, memoised for the search."""
        return self.step_cache.peak_gpu_memory(self.profile, self.workload, self.rules, self.precision)

    def usable_bytes(self, node: NodeTopology) -> int:
        """Return the usable memory of one GPU."""
        return int(node.gpu_memory_bytes * self.headroom.memory_fraction)

    @cached_property
    def step_tokens(self) -> int:
        """Tokens of one optimizer step."""
        return self.batch_sequences * self.workload.sequence_length

    @cached_property
    def steps(self) -> int:
        """Optimizer steps of the run."""
        return max(1, ceil(self.workload.computed_tokens / self.step_tokens))

    def failure_model(self, node: NodeTopology, node_environment: NodeEnvironment) -> FailureModel:
        """Return the failure model of the workload on one kind of node."""
        return FailureModel(node_environment, self.workload.fault_tolerance, self.checkpoint_bytes, node.gpus)

    @cached_property
    def checkpoint_bytes(self) -> int:
        """Size of a checkpoint, which does not depend on the layout."""
        return checkpoint_bytes(self.profile, self.rules)

    def days(self, failures: FailureModel, gpus: int, step_s: float) -> float:
        """Return the length of the run in days, lost time included."""
        return self.steps * step_s / 86400 / failures.goodput(gpus)

    def _candidate(self, node: NodeTopology, failures: FailureModel, found: FastestLayout) -> Candidate:
        layout, micro_batches = found.layout, found.micro_batches
        memory = self.memory(node, layout, micro_batches)
        performance = self._performance(node, failures, layout, micro_batches)
        nodes = ceil(layout.gpus / node.gpus)
        return Candidate(nodes, layout, self.precision, self.precision, memory, performance, failures)

    def _performance(
        self, node: NodeTopology, failures: FailureModel, layout: Layout, micro_batches: int
    ) -> TrainingPerformance:
        breakdown = self.step_model(node).breakdown_s(layout, micro_batches)
        step_time_s = sum(breakdown.values())
        gpu_seconds = step_time_s * layout.gpus
        flops_per_s = self._model_flops_per_token() * self.step_tokens / gpu_seconds
        peak = node.gpu.peak_tflops[self.precision] * 1e12
        days = self.days(failures, layout.gpus, step_time_s)
        return TrainingPerformance(
            engine=self.name,
            step_time_s=step_time_s,
            steps=self.steps,
            mfu=flops_per_s / peak,
            hfu=self._hardware_flops_per_token(layout) * self.step_tokens / gpu_seconds / peak,
            tflops_per_gpu=flops_per_s / 1e12,
            tokens_per_s_per_gpu=self.step_tokens / gpu_seconds,
            goodput=failures.goodput(layout.gpus),
            gpu_hours=days * 24 * layout.gpus,
            days=days,
            breakdown_s=breakdown,
            breakdown_between_steps_s=failures.between_steps_s(layout.gpus, step_time_s),
            effective_step_time_s=step_time_s / failures.goodput(layout.gpus),
            reliability=failures.reliability(layout.gpus, days, step_time_s),
        )


@dataclass(frozen=True, slots=True)
class _LayoutEvaluator:
    """Evaluates complete layouts on one kind of node for the search."""

    engine: TrainingEngine
    node: NodeTopology
    failures: FailureModel
    usable_bytes: int

    def memory_ratio(self, replica: ReplicaLayout, data: int, zero_stage: ZeroStage, micro_batches: int) -> float:
        engine = self.engine
        if engine.compression is None:
            total = engine.peak_gpu_memory.bytes(replica, data, zero_stage, micro_batches)
        else:
            total = engine.memory(self.node, replica.layout(data, zero_stage), micro_batches).total_bytes
        return total / self.usable_bytes

    def days_per_step_s(self, gpus: int) -> float:
        return self.engine.days(self.failures, gpus, 1.0)
