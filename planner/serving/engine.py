"""The serving engine: it finds layouts and the number of replicas that carry a load, for the search to price."""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil

from planner.engine.candidate import NO_INCUMBENTS, Candidate, Incumbents, NearMiss
from planner.errors import SpecError
from planner.plan.layout import Layout
from planner.plan.performance import InferencePerformance
from planner.reliability.failures import NodeEnvironment
from planner.serving.bisection import largest
from planner.serving.disaggregated import DisaggregatedFleet
from planner.serving.forward import AnalyticTiming, arithmetic_precision, peak_flops
from planner.serving.generation_rates import RATES, rates_of
from planner.serving.host_time import SERVING_HOST, HostTime
from planner.serving.replica import Replica, Timing
from planner.serving.replica_count import replicas_within
from planner.serving.replica_memory import ServedBy
from planner.serving.silicon import SILICON, SiliconTiming
from planner.sizing.legal_layouts import divisors, expert_count, head_count, legal_tensor_degrees
from planner.sizing.profile import ModelProfile
from planner.sizing.split_rules import broken_rule, pinned_split_error
from planner.spec import Headroom, InferenceWorkload, Pin
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.hardware import NodeTopology
from provider_catalog.precision import Precision

ANALYTIC = "analytic-inference-2"
PIPELINES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)
"""Pipeline-parallel degrees that are tried."""
ACROSS_NODES_TRIED = 2
"""Multi-node layouts with a fleet after which no further one is tried: more nodes only add stages to pass."""

TimingOf = Callable[[ModelArchitecture, NodeTopology, Layout, Precision, Precision], Timing]
"""Function of model, node, layout, weight format and KV cache format that returns the timing of forward passes."""


@dataclass(frozen=True)
class InferenceEngine:
    """Sizes fleets for one workload of one model on nodes of any kind."""

    profile: ModelProfile
    workload: InferenceWorkload
    headroom: Headroom
    pin: Pin
    weights: Precision
    kv_cache: Precision
    may_widen: bool = False
    """Whether a GPU without arithmetic for the weight format may serve 16-bit weights instead."""
    also: tuple[Precision, ...] = ()
    """Other weight formats that may be served."""
    name: str = ANALYTIC
    """Name of the engine in the plan."""
    timing_of: TimingOf = AnalyticTiming
    """Builds the timing of forward passes."""
    served_by: ServedBy = field(default=ServedBy())
    """Serving engine of the spec."""
    host: HostTime = SERVING_HOST
    """Time that the serving engine's host adds to each step."""

    def least_node_hours(self, node: NodeTopology) -> float:
        """Return 0: a serving fleet runs without end, so its node-hours have no lower bound."""
        return 0.0

    def candidates(
        self,
        node: NodeTopology,
        max_nodes: int,
        multi_node: bool,
        node_environment: NodeEnvironment | None = None,
        incumbents: Incumbents = NO_INCUMBENTS,
    ) -> Iterator[Candidate | NearMiss]:
        """Yield, for each layout of a replica, the fleet that carries the load at the SLO, or why none does.

        The node environment is ignored: when a replica fails, others take its load and no work is lost.

        Raises:
            SpecError: a pinned layout contradicts the model or the node.
        """
        self._check_pins()
        if arithmetic_precision(self.weights, node.gpu) is not None:
            yield from self._splits(node, max_nodes, multi_node)
        elif self.may_widen:
            yield from self._in("bf16")._splits(node, max_nodes, multi_node)
        else:
            yield NearMiss(f"{node.gpu.name} has no {self.weights} arithmetic", float("inf"))
        for weights in self.also:
            if weights != self.weights and arithmetic_precision(weights, node.gpu) is not None:
                yield from self._in(weights)._splits(node, max_nodes, multi_node)

    def _in(self, weights: Precision) -> "InferenceEngine":
        """Return the engine for another weight format."""
        if weights not in self._in_other_formats:
            self._in_other_formats[weights] = replace(self, weights=weights, may_widen=False, also=())
        return self._in_other_formats[weights]

    @cached_property
    def _in_other_formats(self) -> dict[Precision, "InferenceEngine"]:
        return {}

    def _splits(self, node: NodeTopology, max_nodes: int, multi_node: bool) -> Iterator[Candidate | NearMiss]:
        """Yield a fleet or a miss for each layout of a replica, with the weights in one format."""
        across, broken, legal = 0, "", False
        for layout in self._layouts(node, multi_node):
            rule = broken_rule(self.profile.architecture, self.weights, layout)
            if rule is not None:
                broken = broken or f"{layout.serving_name} in {self.weights}: {rule}"
                continue
            legal = True
            over_nodes = layout.gpus_per_replica > node.gpus
            if over_nodes and across >= ACROSS_NODES_TRIED:
                continue
            for found in self._fleets(self.replica(node, layout), node, max_nodes):
                across += over_nodes and isinstance(found, Candidate)
                yield found
        if broken and not legal:
            yield NearMiss(broken, float("inf"))

    def replica(self, node: NodeTopology, layout: Layout) -> Replica:
        """Return one replica in a layout on a kind of node.

        Nodes that differ only in parts that the replica does not use get the same object, timings included.
        """
        gpu = node.gpu
        # The pools of a disaggregated fleet exchange KV caches over the network, wherever a replica fits.
        within = layout.gpus_per_replica <= node.gpus and self.workload.fleet == "aggregated"
        outside = (0, 0.0) if within else (node.gpus, node.nic_gbit_per_s)
        # In a mesh the links to GPUs outside of the replica stay unused, so the size of the node matters.
        meshed = node.gpus if gpu.links == "mesh" else 0
        key = (gpu.name, node.gpu_memory_bytes, node.nvlink_gb_per_s, meshed, *outside, layout)
        if key not in self._known:
            self._known[key] = self._replica(node, layout)
        return self._known[key]

    @cached_property
    def _known(self) -> dict[Hashable, Replica]:
        return {}

    def _replica(self, node: NodeTopology, layout: Layout) -> Replica:
        arithmetic = arithmetic_precision(self.weights, node.gpu) or "bf16"
        return Replica(
            profile=self.profile,
            workload=self.workload,
            headroom=self.headroom,
            weights=self.weights,
            kv_cache=self.kv_cache,
            node=node,
            layout=layout,
            timing=self.timing_of(self.profile.architecture, node, layout, self.weights, self.kv_cache),
            engine=self.name,
            peak_flops=peak_flops(node.gpu, arithmetic),
            served_by=self.served_by,
            host=self.host,
        )

    def notes(self, candidate: Candidate, node: NodeTopology) -> tuple[str, ...]:
        """Return notes for the reviewer on the prediction of a candidate."""
        found = []
        measured = candidate.performance.engine != ANALYTIC or rates_of(node.gpu).measured
        if not measured:
            assumed = (
                "shares of peak from published runs" if node.gpu.generation in RATES else "Hopper's shares of peak"
            )
            found.append(f"no kernels of {node.gpu.generation} were measured: the plan assumes {assumed}")
        if gain := self._batching_gain(candidate, node):
            found.append(gain)
        return tuple(found)

    def _batching_gain(self, candidate: Candidate, node: NodeTopology) -> str | None:
        """Return a note on the gain of dynamic over static batching; None where dynamic batching is not in use."""
        pools = isinstance(candidate.performance, InferencePerformance) and candidate.performance.pools
        if self.pin.batch is not None or pools or not self.workload.dynamic_batching:
            return None
        engine = self if candidate.weights == self.weights else self._in(candidate.weights)
        dynamic = engine.replica(node, replace(candidate.layout, data=1))
        static = replace(dynamic, workload=self.workload.model_copy(update={"dynamic_batching": False}))
        most, static_most = dynamic.largest_batch(), static.largest_batch()
        if isinstance(most, NearMiss):
            return None
        if isinstance(static_most, NearMiss):
            return f"dynamic batching meets the SLO, static batches would not: {static_most.reason}"
        gain = dynamic.requests_per_s(most) / static.requests_per_s(static_most)
        return f"dynamic batching serves {gain:.1f}x the requests of static batches of {static_most} at the same SLO"

    def refined(self, candidate: Candidate, node: NodeTopology, max_nodes: int) -> Candidate | NearMiss:
        """Size the fleet of a candidate again with the times of measured kernels.

        Raises:
            UnsupportedError: No kernels were measured for its layout.
        """
        measured = replace(self, name=SILICON, timing_of=SiliconTiming, weights=candidate.weights)
        replica = measured.replica(node, replace(candidate.layout, data=1))
        if isinstance(candidate.performance, InferencePerformance) and candidate.performance.pools:
            return measured._disaggregated(replica, node, max_nodes)
        return measured._fleet(replica, node, max_nodes)

    def _fleets(self, replica: Replica, node: NodeTopology, max_nodes: int) -> Iterator[Candidate | NearMiss]:
        """Yield the kinds of fleet that the spec allows. A pinned batch is static and never disaggregated."""
        if self.workload.fleet != "disaggregated" or self.pin.batch is not None:
            yield self._fleet(replica, node, max_nodes)
        if self.workload.fleet != "aggregated" and self.pin.batch is None:
            yield self._disaggregated(replica, node, max_nodes)

    def _disaggregated(self, replica: Replica, node: NodeTopology, max_nodes: int) -> Candidate | NearMiss:
        """Return the replicas of both pools for the load on whole nodes; replicas left over decode."""
        pools, layout = DisaggregatedFleet(replica), replica.layout
        most, prefill_rate = pools.largest_batch(), pools.prefills_per_s()
        if isinstance(most, NearMiss):
            return most
        if isinstance(prefill_rate, NearMiss):
            return prefill_rate
        rate = self.workload.offered_requests_per_s
        decodes = ceil(rate / pools.requests_per_s(most))
        if self.workload.concurrency is not None:
            decodes = ceil(self.workload.concurrency / most)
            rate = self.workload.concurrency / (self.workload.output_tokens * pools.tpot_s(most))
        prefills = ceil(rate / prefill_rate)
        replicas = self._replicas(node, layout, prefills + decodes + self.workload.spare_replicas)
        if replicas < 2:
            return NearMiss(f"{layout.serving_name}: a disaggregated fleet needs two replicas", 2.0, fits_memory=True)
        if replicas < prefills + decodes:
            served = pools.requests_per_s(most)
            prefills = max(range(1, replicas), key=lambda count: min(count * prefill_rate, (replicas - count) * served))
        decodes = replicas - prefills
        nodes = self.pin.nodes or ceil(replicas * layout.gpus_per_replica / node.gpus)
        if nodes > max_nodes and self.pin.nodes is None:
            return NearMiss(
                f"{layout.serving_name}: a disaggregated fleet needs {nodes} nodes, {max_nodes} may be used",
                nodes / max_nodes,
                fits_memory=True,
            )
        below = largest(lambda batch: decodes * pools.requests_per_s(batch) < rate, most)
        batch = min(most, below + 1)
        return Candidate(
            nodes=nodes,
            layout=replace(layout, data=replicas),
            weights=self.weights,
            kv_cache=self.kv_cache,
            memory=replica.memory.per_gpu(most),
            performance=pools.performance(prefills, decodes, batch, most),
        )

    def _check_pins(self) -> None:
        fixed, architecture = self.pin.layout, self.profile.architecture
        heads, experts = head_count(architecture), expert_count(architecture)
        tensor, expert, groups = fixed.tensor or 1, fixed.expert or 1, fixed.attention_data or 1
        if groups > 1 and (fixed.tensor is None or tensor % groups):
            raise SpecError(
                f"pin.layout.attention_data is {groups}; it must divide pin.layout.tensor, which is {fixed.tensor}"
            )
        if heads % (tensor // groups):
            nearest = min(divisors(heads), key=lambda degree: abs(degree - tensor // groups))
            raise SpecError(
                f"pin.layout.tensor is {tensor}; the tensor-parallel ranks of one attention group, {tensor // groups},"
                f" must divide the {heads} attention heads of {architecture.name}: nearest is {nearest}"
            )
        if fixed.tensor is not None:
            self._check_split(fixed.tensor, groups)
        if expert > max(experts, 1):
            allowed = f"1 to its {experts} routed experts" if experts else "1: the model has no routed experts"
            raise SpecError(f"pin.layout.expert is {expert}; allowed for {architecture.name}: {allowed}")
        if (expert > tensor and expert % tensor) or (expert <= tensor and tensor % expert):
            raise SpecError(
                f"pin.layout.expert is {expert} and pin.layout.tensor is {tensor}; one must divide the other"
            )
        if fixed.pipeline and fixed.pipeline > architecture.layer_count:
            raise SpecError(
                f"pin.layout.pipeline is {fixed.pipeline}; {architecture.name} has {architecture.layer_count} layers,"
                " so at most that many stages"
            )

    def _check_split(self, tensor: int, groups: int) -> None:
        """Refuses a pinned tensor-parallel degree that serving engines refuse."""
        architecture, pinned = self.profile.architecture, self.pin.layout.expert
        experts = expert_count(architecture)
        expert = pinned or (tensor if experts and experts % tensor == 0 else 1)
        layout = Layout(tensor=tensor, expert=min(expert, tensor), attention_data=groups)
        error = pinned_split_error(architecture, self.weights, layout, whole_experts=pinned is None)
        if error is not None:
            raise SpecError(error)

    @cached_property
    def _has_latent_cache(self) -> bool:
        return self.profile.architecture.has_latent_cache

    def _layouts(self, node: NodeTopology, multi_node: bool) -> Iterator[Layout]:
        fixed = self.pin.layout
        experts = expert_count(self.profile.architecture)
        layers = self.profile.architecture.layer_count
        tensors = [fixed.tensor] if fixed.tensor else legal_tensor_degrees(self.profile.architecture, node)
        pipelines = [fixed.pipeline] if fixed.pipeline else [p for p in PIPELINES if p <= layers]
        for tensor in tensors:
            for pipeline in pipelines:
                ranks = max(tensor, fixed.expert or 1)
                if ranks % tensor:
                    continue
                gpus = ranks * pipeline
                within = gpus <= node.gpus and node.gpus % gpus == 0
                across = multi_node and ranks % node.gpus == 0
                pinned = bool(fixed.tensor and fixed.pipeline)
                # Multi-node replicas must fill the pinned nodes, because a node left over would be billed and idle.
                uneven = self.pin.nodes is not None and gpus > node.gpus and self.pin.nodes * node.gpus % gpus != 0
                if not pinned and (uneven or not (within or across)):
                    continue
                expert = fixed.expert or (tensor if experts and experts % tensor == 0 else 1)
                if expert > tensor:
                    # With more expert-parallel than tensor-parallel ranks, attention is data-parallel over groups.
                    yield Layout(tensor=expert, pipeline=pipeline, expert=expert, attention_data=expert // tensor)
                    continue
                for groups in self._attention_groups(tensor):
                    yield Layout(tensor=tensor, pipeline=pipeline, expert=expert, attention_data=groups)

    def _attention_groups(self, tensor: int) -> tuple[int, ...]:
        """Return the numbers of data-parallel attention groups to try.

        Every tensor-parallel rank holds a latent KV cache in full; data-parallel attention avoids the copies.
        """
        if self.pin.layout.attention_data is not None:
            return (self.pin.layout.attention_data,)
        return (1, tensor) if self._has_latent_cache and tensor > 1 and not self.pin.layout.tensor else (1,)

    def _fleet(self, replica: Replica, node: NodeTopology, max_nodes: int) -> Candidate | NearMiss:
        """Return the aggregated fleet for the load on whole nodes, or the miss."""
        layout = replica.layout
        if self.pin.batch is not None:
            most: int | NearMiss = self.pin.batch
        else:
            most = replica.largest_batch()
            if isinstance(most, NearMiss) and most.fits_memory and self.pin.nodes is not None:
                most = 1
        if isinstance(most, NearMiss):
            return most
        concurrency, rate = self.workload.concurrency, self.workload.offered_requests_per_s
        capacity_per_s = replica.requests_per_s(most)
        needed = ceil(rate / capacity_per_s) if concurrency is None else ceil(concurrency / most)
        if concurrency is None and self.workload.slo.percentile != "mean" and self.pin.nodes is None:
            enough = replicas_within(lambda count: replica.ttft_model(rate / count, most), self.workload.slo, needed)
            if isinstance(enough, NearMiss):
                return replace(enough, reason=f"{layout.serving_name}: {enough.reason}")
            needed = enough
        replicas = self._replicas(node, layout, needed + self.workload.spare_replicas)
        nodes = self.pin.nodes or ceil(replicas * layout.gpus_per_replica / node.gpus)
        if nodes > max_nodes and self.pin.nodes is None:
            return NearMiss(
                f"{layout.serving_name} needs {nodes} nodes for the load, {max_nodes} may be used",
                nodes / max_nodes,
                fits_memory=True,
            )
        if self.pin.batch is not None:
            batch = self.pin.batch
        elif concurrency is not None:
            batch = min(most, ceil(concurrency / replicas))
        else:
            batch = replica.batch_at(rate / replicas, most)
        return Candidate(
            nodes=nodes,
            layout=replace(layout, data=replicas),
            weights=self.weights,
            kv_cache=self.kv_cache,
            memory=replica.memory.per_gpu(most),
            performance=replica.performance(batch, most, replicas, static=self.pin.batch is not None),
        )

    def _replicas(self, node: NodeTopology, layout: Layout, needed: int) -> int:
        """Return the replicas that fill the nodes which `needed` replicas take, or the pinned number."""
        per_replica = layout.gpus_per_replica
        if self.pin.layout.data is not None and self.pin.nodes is None:
            return self.pin.layout.data
        if self.pin.nodes is not None:
            fit = self.pin.nodes * node.gpus // per_replica
            if fit < 1:
                raise SpecError(
                    f"pin.nodes is {self.pin.nodes} ({self.pin.nodes * node.gpus} GPUs), but one replica takes"
                    f" {per_replica} GPUs; raise pin.nodes or lower pin.layout"
                )
            return min(fit, self.pin.layout.data or fit)
        if per_replica >= node.gpus:
            return needed
        per_node = node.gpus // per_replica
        return ceil(needed / per_node) * per_node
