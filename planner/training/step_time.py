"""Step time of a layout: what each part of one optimizer step takes."""

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
from planner.training.exchange import ReplicaExchange
from planner.training.host import idle_s
from planner.training.layer_time import RECOMPUTED_PRODUCTS, LayerTime, LayerTimer, Split
from planner.training.schedule import StageTime, bubble_s, transfers_overlap
from planner.training.shape import COMPUTING_PARTS, Pace, Shape, StageParts
from planner.training.traffic import LayerTraffic, ReplicaTraffic
from provider_catalog.hardware import NodeTopology

DUALPIPE_COMMUNICATION_SHARE: Final = 20 / 132
"""Multiprocessors that DualPipe sets aside for the all-to-all (DeepSeek-V3, arXiv 2412.19437, section 3.2.2)."""
SPREAD: Final = 0.035
"""Standard deviation of the speed of equal GPUs; the slowest of n, sqrt(2·ln n) of them off, sets the pace. Estimate,
0.02 to 0.04: Sinha et al. 2022 (arXiv 2208.11035) saw 8 % between GPUs of one kind on five clusters, 22 % at most."""
TOKEN_BYTES: Final = 4
"""Of one token id as the loader reads it, 32 bits."""
LOADER_BYTES_PER_S: Final = 100e6
"""Of tokens that one node reads ahead from a shared file system. Estimate, 50e6 to 1e9; hidden unless a step is
shorter than its tokens take."""


@dataclass(frozen=True)
class StepModel:
    """Step times of one model on one kind of node. Holds what layouts of a search have in common."""

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
        )

    @property
    def _adapters(self) -> AdapterTimer | None:
        rules = self.rules
        if rules.method == "full":
            return None
        return AdapterTimer(self.rates, rules.lora_rank, rules.adapters, rules.method == "qlora")

    @cached_property
    def traffic(self) -> ReplicaTraffic:
        """Communication inside a replica."""
        return ReplicaTraffic(
            self.node,
            self.profile.architecture.hidden_size,
            self.sequence_length,
            self.rates.value_bytes,
            self.software,
        )

    @cached_property
    def exchange(self) -> ReplicaExchange:
        """Communication between replicas."""
        return ReplicaExchange(self.profile, self.node, self.rules, self.rates, self.compression)

    @cached_property
    def _layer_parts(self) -> dict[tuple[int, Split], StageParts]:
        return {}

    @cached_property
    def _head_parts(self) -> dict[Split, StageParts]:
        return {}

    @cached_property
    def _paces(self) -> dict[tuple[Shape, bool], Pace]:
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

    def busy_gpu_s_per_token(self, split: Split, two_way: bool = False) -> float:
        """GPU seconds a token takes at least: even stages, no bubble, nothing exposed between replicas.

        Args:
            split: how a layer is divided.
            two_way: in DualPipe, which hides the all-to-all.
        """
        if two_way:
            seconds = sum(self._two_way(split, 1))
        else:
            seconds, layers_s = self._sums_s(split)
            for group, layer_s in zip(self.profile.architecture.layers, layers_s, strict=True):
                seconds += group.count * layer_s
        return seconds * split.tensor * split.context / (split.micro_batch * self.sequence_length)

    def least_once_s(self, shape: Shape, data: int) -> float:
        """Seconds that replicas and optimizer cost a step at least, whatever the schedule and the micro-batches.

        Args:
            shape: of a replica.
            data: replicas.
        """
        return self.exchange.least_exposed_s(shape, data) + self.exchange.optimizer_s(shape, data, 1)

    def replicas_s(self, shape: Shape, data: int, zero_stage: int, micro_batches: int) -> tuple[float, float]:
        """Seconds of a step that (the exchange between replicas, the optimizer) add, the same for 1F1B and interleaved.

        Args:
            shape: of a replica.
            data: replicas.
            zero_stage: what is divided among them.
            micro_batches: of each replica.
        """
        key = (shape.split, shape.pipeline, shape.two_way, data, zero_stage, micro_batches)
        known = self._replicas.get(key)
        if known is None:
            time = self._slowest_stage(shape).time
            exposed = self.exchange.exposed_s(shape, data, zero_stage, time, micro_batches)
            known = self._replicas[key] = (exposed, self.exchange.optimizer_s(shape, data, zero_stage))
        return known

    def least_pace_s(self, split: Split, pipeline: int) -> tuple[float, float]:
        """Least seconds that (a stage is busy with a micro-batch, activations travel at the ends of a step).

        Args:
            split: how a layer is divided.
            pipeline: stages, each on ranks of its own.
        """
        busy_s = max(self._stages_s(split, pipeline))
        if pipeline == 1:
            return busy_s, 0.0
        alone = split.tensor * split.context * pipeline <= self.node.gpus
        return busy_s, 2 * (pipeline - 1) * self.traffic.transfer_s(split, alone)

    def pace(self, shape: Shape, data: int = 1) -> Pace:
        """What every micro-batch and every step of a shape take; one replica is the least that any number of them take.

        Stages are the slowest of the ranks (Megatron-Core's order, tp-cp-ep-dp-pp): between one and the next lie all
        replicas, so that they share a node only where the whole job does.
        """
        key = (shape, shape.gpus * data <= self.node.gpus)
        if key not in self._paces:
            parts = self._slowest_stage(shape)
            time = parts.time
            transfer_s, starting_s = self._transfers_s(shape, time, key[1])
            bubble = bubble_s(shape.schedule, shape.pipeline, shape.chunks, time, len(self.profile.layers)) + starting_s
            self._paces[key] = Pace(parts, time, time.total + transfer_s, bubble, transfer_s, bubble)
        return self._paces[key]

    def step_s(self, shape: Shape, data: int, zero_stage: int, micro_batches: int) -> float:
        """Seconds of one optimizer step.

        Args:
            shape: of a replica.
            data: replicas.
            zero_stage: what is divided among them.
            micro_batches: of each replica.
        """
        pace = self.pace(shape, data)
        computing = micro_batches * pace.micro_batch_s + pace.once_s
        exposed, optimizer_s = self.replicas_s(shape, data, zero_stage, micro_batches)
        step_s = (computing + exposed + optimizer_s) * pacing(shape.gpus * data)
        return max(step_s, self._loading_s(shape, data, micro_batches))

    def breakdown_s(self, layout: Layout, micro_batches: int) -> dict[str, float]:
        """Seconds of one optimizer step by part; they sum to the step time.

        Args:
            layout: complete, its data-parallel degree included.
            micro_batches: of each replica.
        """
        shape, data, zero_stage, m = Shape.of(layout), layout.data, layout.zero_stage, micro_batches
        pace = self.pace(shape, data)
        parts = pace.parts
        breakdown = {
            "matmul": m * (parts.matmul_forward + parts.matmul_input + parts.matmul_weight),
            "attention": m * (parts.attention_forward + parts.attention_backward),
            "elementwise": m * (parts.elementwise_forward + parts.elementwise_backward),
            "recompute": m * parts.recompute,
            **self._frozen_parts(parts, m),
            "tensor_parallel": m * (parts.tensor_forward + parts.tensor_backward),
            "context_parallel": m * (parts.context_forward + parts.context_backward),
            "expert_parallel": m * (parts.expert_forward + parts.expert_backward),
            **({"launches": m * idle} if (idle := parts.host_forward + parts.host_backward) else {}),
            "pipeline_transfers": m * pace.transfer_s,
            "pipeline_bubble": pace.bubble_s,
            "data_parallel": self.exchange.exposed_s(shape, data, zero_stage, pace.time, m),
            "optimizer": self.exchange.optimizer_s(shape, data, zero_stage),
        }
        breakdown["stragglers"] = (pacing(layout.gpus) - 1) * sum(breakdown.values())
        breakdown["data_loading"] = max(0.0, self._loading_s(shape, data, m) - sum(breakdown.values()))
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
                idle = idle_s(time, traffic, split.recompute, self.software.cuda_graphs)
            known = self._layer_parts[key] = _parts(time, traffic, idle)
        return known

    def _head(self, split: Split) -> StageParts:
        if split not in self._head_parts:
            time = self._timer.head(self.profile.architecture.vocab_size, split)
            self._head_parts[split] = _parts(time, LayerTraffic())
        return self._head_parts[split]

    def _sums_s(self, split: Split) -> tuple[float, tuple[float, ...]]:
        """Seconds of (the head, a layer of each group), all parts together."""
        known = self._sums.get(split)
        if known is None:
            layers = range(len(self.profile.architecture.layers))
            known = sum(self._head(split)), tuple(sum(self._layer(index, split)) for index in layers)
            self._sums[split] = known
        return known

    def _stages_s(self, split: Split, pipeline: int) -> list[float]:
        """Seconds of each of the different stages of a pipeline."""
        head_s, layers_s = self._sums_s(split)
        stages = []
        for layers, holds_head in self._stage_kinds(pipeline):
            seconds = head_s if holds_head else 0.0
            for index, count in layers:
                seconds += count * layers_s[index]
            stages.append(seconds)
        return stages

    def _slowest_stage(self, shape: Shape) -> StageParts:
        key = (shape.split, shape.pipeline, shape.two_way)
        known = self._slowest.get(key)
        if known is None:
            of_kind = self._two_way if shape.two_way else self._one_way
            known = self._slowest[key] = of_kind(shape.split, shape.pipeline)
        return known

    def _one_way(self, split: Split, pipeline: int) -> StageParts:
        stages_s, head = self._stages_s(split, pipeline), self._head(split)
        layers, holds_head = self._stage_kinds(pipeline)[stages_s.index(max(stages_s))]
        sums = list(head) if holds_head else [0.0] * len(head)
        for index, count in layers:
            for part, seconds in enumerate(self._layer(index, split)):
                sums[part] += count * seconds
        return StageParts._make(sums)

    def _two_way(self, split: Split, pipeline: int) -> StageParts:
        """DualPipe: a rank works on stages i and p-1-i in turn, and computation hides the all-to-all."""
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
        """The different stages of a pipeline: (layers by group, whether it holds the head)."""
        if pipeline not in self._kinds:
            stages = pipeline_stages(self.profile.architecture, pipeline)
            kinds = Counter((stage, index == pipeline - 1) for index, stage in enumerate(stages))
            self._kinds[pipeline] = tuple(kinds)
        return self._kinds[pipeline]

    def _transfers_s(self, shape: Shape, time: StageTime, alone: bool) -> tuple[float, float]:
        """Activations between stages: (exposed for every micro-batch, at the start and the end of a step).

        Args:
            shape: of a replica.
            time: of a stage.
            alone: whether the whole job lies in one node.
        """
        if shape.pipeline == 1:
            return 0.0, 0.0
        once = self.traffic.transfer_s(shape.split, alone)
        both = 2 * once * shape.chunks
        if transfers_overlap(shape.schedule):
            both = max(0.0, both - time.total)
        return both, 2 * (shape.pipeline - 1) * once

    def _loading_s(self, shape: Shape, data: int, micro_batches: int) -> float:
        tokens = data * shape.split.micro_batch * micro_batches * self.sequence_length
        nodes = max(1, shape.gpus * data // self.node.gpus)
        return tokens * TOKEN_BYTES / (nodes * LOADER_BYTES_PER_S)


@lru_cache(maxsize=4096)
def pacing(gpus: int) -> float:
    """Time of the slowest of some GPUs over that of a mean one."""
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
