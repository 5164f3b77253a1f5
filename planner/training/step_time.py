"""Time of one optimizer step of a layout, by part."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import log, sqrt
from typing import Final

from planner.plan.layout import Layout
from planner.sizing.efficiency import KernelRates
from planner.sizing.optimizer_state import StateRules
from planner.sizing.profile import ModelProfile
from planner.sizing.stages import pipeline_stages
from planner.spec.training_software import DEFAULT_SOFTWARE, TrainingSoftware
from planner.training.adapter_time import AdapterTimer
from planner.training.compression import Compression
from planner.training.data_parallel_exchange import ReplicaExchange
from planner.training.kernel_launches import launch_wait_s
from planner.training.layer_time import EAGER, RECOMPUTED_PRODUCTS, LayerTime, LayerTimer, Split
from planner.training.pipeline_schedule import StageTime, bubble_s, transfers_overlap
from planner.training.replica_layout import ReplicaLayout
from planner.training.stage_times import COMPUTING_PARTS, ReplicaTime, StageParts
from planner.training.traffic import LayerTraffic, ReplicaTraffic
from provider_catalog.hardware import NodeTopology

DUALPIPE_COMMUNICATION_SHARE: Final = 20 / 132
"""Share of multiprocessors that DualPipe reserves for the all-to-all (DeepSeek-V3, arXiv 2412.19437, section 3.2.2)."""
SPREAD: Final = 0.033
"""Relative standard deviation of the speed of GPUs of one kind. The slowest of n GPUs is about sqrt(2·ln n) standard
deviations slower and sets the step time. Estimate, 0.02 to 0.04: Sinha et al. 2022 (arXiv 2208.11035) measured 8 %
between GPUs of one kind on five clusters, 22 % at most. MLPerf's runs on 8,000 to
12,000 GPUs lose no more than 14 % to the slowest of them."""
TOKEN_BYTES: Final = 4
"""Bytes of one token id as the data loader reads it (32 bits)."""
LOADER_BYTES_PER_S: Final = 100e6
"""Rate at which one node reads tokens ahead from a shared file system. Estimate, 50e6 to 1e9. Loading is hidden unless
it takes longer than the step."""


@dataclass(frozen=True)
class StepModel:
    """Times steps of one model on one kind of node; it memoises results that layouts share."""

    profile: ModelProfile
    node: NodeTopology
    rules: StateRules
    rates: KernelRates
    sequence_length: int
    flash_attention: bool
    compression: Compression | None = None
    software: TrainingSoftware = DEFAULT_SOFTWARE

    @cached_property
    def _timer(self) -> LayerTimer:
        return LayerTimer(
            rates=self.rates,
            hidden=self.profile.architecture.hidden_size,
            sequence_length=self.sequence_length,
            flash_attention=self.flash_attention,
            recomputed_products=RECOMPUTED_PRODUCTS[self.software.selective_recompute],
            gradient_bytes=self.rules.gradient_bytes,
            adapters=self._adapters,
            eager=EAGER[self.software.framework],
        )

    @property
    def _adapters(self) -> AdapterTimer | None:
        rules = self.rules
        if rules.method == "full":
            return None
        return AdapterTimer(self.rates, rules.lora_rank, rules.adapters, rules.method == "qlora")

    @cached_property
    def traffic(self) -> ReplicaTraffic:
        """Times communication inside a replica."""
        return ReplicaTraffic(
            self.node,
            self.profile.architecture.hidden_size,
            self.sequence_length,
            self.rates.value_bytes,
            self.software,
        )

    @cached_property
    def exchange(self) -> ReplicaExchange:
        """Times communication between replicas."""
        overlap = self.software.interleaved_overlap
        return ReplicaExchange(self.profile, self.node, self.rules, self.rates, self.compression, overlap)

    @cached_property
    def _layer_parts(self) -> dict[tuple[int, Split], StageParts]:
        return {}

    @cached_property
    def _head_parts(self) -> dict[Split, StageParts]:
        return {}

    @cached_property
    def _replica_times(self) -> dict[tuple[ReplicaLayout, bool], ReplicaTime]:
        return {}

    @cached_property
    def _slowest(self) -> dict[tuple[Split, int, bool], StageParts]:
        return {}

    @cached_property
    def _sums(self) -> dict[Split, tuple[float, tuple[float, ...]]]:
        return {}

    @cached_property
    def _replicas(self) -> dict[tuple[object, ...], tuple[float, float]]:
        return {}

    @cached_property
    def _kinds(self) -> dict[int, tuple[tuple[tuple[tuple[int, int], ...], bool], ...]]:
        return {}

    def busy_gpu_s_per_token(self, split: Split, bidirectional: bool = False) -> float:
        """Return a lower bound on the GPU seconds of a token.

        The bound assumes equal stages, no bubble and no exposed communication between replicas.

        Args:
            split: How a layer is divided.
            bidirectional: Whether the schedule is DualPipe, which hides the all-to-all.
        """
        if bidirectional:
            seconds = sum(self._bidirectional_stage(split, 1))
        else:
            seconds, layers_s = self._sums_s(split)
            for group, layer_s in zip(self.profile.architecture.layers, layers_s, strict=True):
                seconds += group.count * layer_s
        return seconds * split.tensor * split.context / (split.micro_batch * self.sequence_length)

    def least_exchange_and_optimizer_s(self, replica: ReplicaLayout, data: int) -> float:
        """Return a lower bound on `exchange_and_optimizer_s` over all schedules and micro-batches.

        Args:
            replica: Layout of one replica.
            data: Number of replicas.
        """
        return self.exchange.least_exposed_s(replica, data) + self.exchange.optimizer_s(replica, data, 1)

    def exchange_and_optimizer_s(
        self, replica: ReplicaLayout, data: int, zero_stage: int, micro_batches: int
    ) -> tuple[float, float]:
        """Return the seconds of a step in (exposed data-parallel communication, optimizer).

        They are equal for all interleaved schedules, and those of 1F1B are no smaller.

        Args:
            replica: Layout of one replica.
            data: Number of replicas.
            zero_stage: ZeRO stage.
            micro_batches: Micro-batches of each replica.
        """
        interleaved = replica.chunks > 1
        key = (replica.split, replica.pipeline, replica.bidirectional, interleaved, data, zero_stage, micro_batches)
        known = self._replicas.get(key)
        if known is None:
            time = self._slowest_stage(replica).time
            exposed = self.exchange.exposed_s(replica, data, zero_stage, time, micro_batches)
            known = self._replicas[key] = (exposed, self.exchange.optimizer_s(replica, data, zero_stage))
        return known

    def least_replica_time_s(self, split: Split, pipeline: int) -> tuple[float, float]:
        """Return lower bounds on the seconds of (a micro-batch on the slowest stage, transfers at both ends of a step).

        Args:
            split: How a layer is divided.
            pipeline: Number of stages, each on its own ranks.
        """
        busy_s = max(self._stages_s(split, pipeline))
        if pipeline == 1:
            return busy_s, 0.0
        alone = split.tensor * split.context * pipeline <= self.node.gpus
        return busy_s, 2 * (pipeline - 1) * self.traffic.transfer_s(split, alone)

    def replica_time(self, replica: ReplicaLayout, data: int = 1) -> ReplicaTime:
        """Return the time of a replica's micro-batches and of its bubble; that of one replica alone is a lower bound.

        The pipeline index varies slowest over the ranks (Megatron-Core's order, tp-cp-ep-dp-pp). Two stages of a
        replica share a node only where the whole job runs on one node.
        """
        key = (replica, replica.gpus * data <= self.node.gpus)
        if key not in self._replica_times:
            parts = self._slowest_stage(replica)
            time = parts.time
            transfer_s, starting_s = self._transfers_s(replica, time, key[1])
            bubble = (
                bubble_s(replica.schedule, replica.pipeline, replica.chunks, time, len(self.profile.layers))
                + starting_s
            )
            self._replica_times[key] = ReplicaTime(parts, time, time.total + transfer_s, transfer_s, bubble)
        return self._replica_times[key]

    def step_s(self, replica: ReplicaLayout, data: int, zero_stage: int, micro_batches: int) -> float:
        """Return the seconds of one optimizer step.

        Args:
            replica: Layout of one replica.
            data: Number of replicas.
            zero_stage: ZeRO stage.
            micro_batches: Micro-batches of each replica.
        """
        times = self.replica_time(replica, data)
        computing = micro_batches * times.micro_batch_s + times.bubble_s
        exposed, optimizer_s = self.exchange_and_optimizer_s(replica, data, zero_stage, micro_batches)
        step_s = (computing + exposed + optimizer_s) * straggler_factor(replica.gpus * data)
        return max(step_s, self._loading_s(replica, data, micro_batches))

    def breakdown_s(self, layout: Layout, micro_batches: int) -> dict[str, float]:
        """Return the seconds of one optimizer step by part; they sum to the step time.

        Args:
            layout: Complete layout.
            micro_batches: Micro-batches of each replica.
        """
        replica, data, zero_stage, m = ReplicaLayout.of(layout), layout.data, layout.zero_stage, micro_batches
        times = self.replica_time(replica, data)
        parts = times.parts
        breakdown = {
            "matmul": m * (parts.matmul_forward + parts.matmul_input + parts.matmul_weight),
            "attention": m * (parts.attention_forward + parts.attention_backward),
            "elementwise": m * (parts.elementwise_forward + parts.elementwise_backward),
            "recompute": m * parts.recompute,
            **self._frozen_parts(parts, m),
            "tensor_parallel": m * (parts.tensor_forward + parts.tensor_backward),
            "context_parallel": m * (parts.context_forward + parts.context_backward),
            "expert_parallel": m * (parts.expert_forward + parts.expert_backward),
            **({"launches": m * idle} if (idle := parts.launch_forward + parts.launch_backward) else {}),
            "pipeline_transfers": m * times.transfer_s,
            "pipeline_bubble": times.bubble_s,
            "data_parallel": self.exchange.exposed_s(replica, data, zero_stage, times.time, m),
            "optimizer": self.exchange.optimizer_s(replica, data, zero_stage),
        }
        breakdown["stragglers"] = (straggler_factor(layout.gpus) - 1) * sum(breakdown.values())
        breakdown["data_loading"] = max(0.0, self._loading_s(replica, data, m) - sum(breakdown.values()))
        return breakdown

    def _frozen_parts(self, parts: StageParts, micro_batches: int) -> dict[str, float]:
        if self.rules.method == "full":
            return {}
        adapters = {"adapters": micro_batches * (parts.adapters_forward + parts.adapters_backward)}
        if self.rules.method == "lora":
            return adapters
        return {**adapters, "dequantization": micro_batches * (parts.dequantize_forward + parts.dequantize_backward)}

    def _layer(self, index: int, split: Split) -> StageParts:
        group = self.profile.architecture.layers[index]
        if not group.feed_forward.experts and split.expert > 1:
            split = split._replace(expert=1)
        key = (index, split)
        known = self._layer_parts.get(key)
        if known is None:
            time = self._timer.time(group, split)
            traffic = self.traffic.layer(group, split, time)
            idle = (0.0, 0.0)
            if group.feed_forward.experts:
                idle = launch_wait_s(time, traffic, split.recompute, self.software.cuda_graphs)
            known = self._layer_parts[key] = _parts(time, traffic, idle)
        return known

    def _head(self, split: Split) -> StageParts:
        if split not in self._head_parts:
            time = self._timer.head(self.profile.architecture.vocab_size, split)
            self._head_parts[split] = _parts(time, LayerTraffic())
        return self._head_parts[split]

    def _sums_s(self, split: Split) -> tuple[float, tuple[float, ...]]:
        """Return the seconds of (the head, one layer of each group), all parts together."""
        known = self._sums.get(split)
        if known is None:
            layers = range(len(self.profile.architecture.layers))
            known = sum(self._head(split)), tuple(sum(self._layer(index, split)) for index in layers)
            self._sums[split] = known
        return known

    def _stages_s(self, split: Split, pipeline: int) -> list[float]:
        """Return the seconds of each distinct stage of a pipeline."""
        head_s, layers_s = self._sums_s(split)
        stages = []
        for layers, holds_head in self._stage_kinds(pipeline):
            seconds = head_s if holds_head else 0.0
            for index, count in layers:
                seconds += count * layers_s[index]
            stages.append(seconds)
        return stages

    def _slowest_stage(self, replica: ReplicaLayout) -> StageParts:
        key = (replica.split, replica.pipeline, replica.bidirectional)
        known = self._slowest.get(key)
        if known is None:
            of_kind = self._bidirectional_stage if replica.bidirectional else self._slowest_of_stages
            known = self._slowest[key] = of_kind(replica.split, replica.pipeline)
        return known

    def _slowest_of_stages(self, split: Split, pipeline: int) -> StageParts:
        stages_s, head = self._stages_s(split, pipeline), self._head(split)
        layers, holds_head = self._stage_kinds(pipeline)[stages_s.index(max(stages_s))]
        sums = list(head) if holds_head else [0.0] * len(head)
        for index, count in layers:
            for part, seconds in enumerate(self._layer(index, split)):
                sums[part] += count * seconds
        return StageParts._make(sums)

    def _bidirectional_stage(self, split: Split, pipeline: int) -> StageParts:
        """Return the stage parts under DualPipe.

        A rank works on the stages i and p-1-i in turn, and computation hides the all-to-all.
        """
        head = self._head(split)
        whole = [0.0] * len(head)
        for index, group in enumerate(self.profile.architecture.layers):
            for part, seconds in enumerate(self._layer(index, split)):
                whole[part] += group.count * seconds
        layers = len(self.profile.layers)
        longest = -(-layers // pipeline) * pipeline / layers
        mean = [(seconds * longest + more) / pipeline for seconds, more in zip(whole, head, strict=True)]
        parts = StageParts._make(mean)
        if split.expert > 1:
            slower = 1 / (1 - DUALPIPE_COMMUNICATION_SHARE)
            parts = StageParts._make(
                [*(seconds * slower for seconds in parts[:COMPUTING_PARTS]), *parts[COMPUTING_PARTS:]]
            )
            exposed = max(0.0, parts.expert_forward + parts.expert_backward - parts.computing)
            parts = parts._replace(expert_forward=exposed / 2, expert_backward=exposed / 2)
        return parts

    def _stage_kinds(self, pipeline: int) -> tuple[tuple[tuple[tuple[int, int], ...], bool], ...]:
        """Return the distinct stages of a pipeline, each as (layers by group, whether the stage holds the head)."""
        if pipeline not in self._kinds:
            stages = pipeline_stages(self.profile.architecture, pipeline)
            kinds = Counter((stage, index == pipeline - 1) for index, stage in enumerate(stages))
            self._kinds[pipeline] = tuple(kinds)
        return self._kinds[pipeline]

    def _transfers_s(self, replica: ReplicaLayout, time: StageTime, alone: bool) -> tuple[float, float]:
        """Return the seconds of transfers between stages: (exposed per micro-batch, at both ends of a step).

        Args:
            replica: Layout of one replica.
            time: Time of the slowest stage.
            alone: Whether the whole job runs on one node.
        """
        if replica.pipeline == 1:
            return 0.0, 0.0
        once = self.traffic.transfer_s(replica.split, alone)
        both = 2 * once * replica.chunks
        if transfers_overlap(replica.schedule):
            both = max(0.0, both - time.total)
        return both, 2 * (replica.pipeline - 1) * once

    def _loading_s(self, replica: ReplicaLayout, data: int, micro_batches: int) -> float:
        tokens = data * replica.split.micro_batch * micro_batches * self.sequence_length
        nodes = max(1, replica.gpus * data // self.node.gpus)
        return tokens * TOKEN_BYTES / (nodes * LOADER_BYTES_PER_S)


@lru_cache(maxsize=4096)
def straggler_factor(gpus: int) -> float:
    """Return the time of the slowest of some GPUs over that of a mean one."""
    return 1 + SPREAD * sqrt(2 * log(gpus)) if gpus > 1 else 1.0


def _parts(time: LayerTime, traffic: LayerTraffic, idle: tuple[float, float] = (0.0, 0.0)) -> StageParts:
    return StageParts(
        time.matmul_forward,
        time.matmul_input,
        time.matmul_weight,
        time.attention_forward,
        time.attention_backward,
        time.elementwise_forward,
        time.elementwise_backward,
        time.recompute,
        time.adapters_forward,
        time.adapters_backward,
        time.dequantize_forward,
        time.dequantize_backward,
        *traffic.tensor,
        *traffic.context,
        *traffic.expert,
        *idle,
    )
