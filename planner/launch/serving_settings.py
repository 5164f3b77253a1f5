"""The settings of a serving plan that all engines need, independent of the flags of any engine."""

from dataclasses import dataclass
from math import ceil

from planner.launch.commands import MODEL_PATH
from planner.plan.performance import InferencePerformance
from planner.plan.plan import Plan
from planner.serving.replica_memory import batched_tokens
from planner.spec import InferenceWorkload
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.models import find_preset
from provider_catalog.precision import BITS_PER_VALUE, Precision
from provider_catalog.software_matrix import ServingEngine


@dataclass(frozen=True)
class ServingSettings:
    """Settings of one replica, and the placement of replicas on nodes."""

    model: str
    tensor: int
    pipeline: int
    expert: int
    attention_data: int
    """Groups of data-parallel attention, each with its own sequences; 1 without data-parallel attention."""
    is_moe: bool
    nodes: int
    gpus_per_node: int
    weights: Precision
    published: Precision
    kv_cache: Precision
    context_tokens: int
    sequences: int
    """Most requests in flight on one replica, within memory and SLO."""
    chunk_tokens: int
    """Token budget of one iteration."""
    chunked_prefill: bool
    memory_fraction: float
    """Usable memory as a share of a GPU's memory."""
    static_fraction: float
    """Weights and KV cache as a share of a GPU's memory."""
    cache_fraction: float
    """KV cache as a share of the memory that weights, activations and runtime leave free."""
    enforce_eager: bool
    """Whether no CUDA graphs are captured."""
    prefix_cache: bool
    draft_tokens: int
    drafts_itself: bool
    """Whether the engine can draft with the model's own multi-token-prediction layers."""
    prefill_replicas: int
    """Replicas that only prefill while the others decode; 0: every replica does both."""
    visible_devices: str
    """Name of the environment variable that selects the GPUs of a process."""

    @property
    def gpus_per_replica(self) -> int:
        """GPUs that hold one copy of the model."""
        return self.tensor * self.pipeline

    @property
    def nodes_per_gang(self) -> int:
        """Nodes that one replica takes."""
        return ceil(self.gpus_per_replica / self.gpus_per_node)

    @property
    def replicas_per_gang(self) -> int:
        """Servers on one node."""
        return max(1, self.gpus_per_node // self.gpus_per_replica)

    @property
    def ranks_per_node(self) -> int:
        """GPUs of one replica on one node."""
        return self.gpus_per_replica // self.nodes_per_gang

    @property
    def is_prequantized(self) -> bool:
        """Whether the published checkpoint holds the weights in the planned format."""
        return self.weights == self.published

    @property
    def needs_checkpoint(self) -> bool:
        """Whether the published weights must be converted first; engines can only quantize to fp8 while loading."""
        if self.is_prequantized or (BITS_PER_VALUE[self.weights] >= 16 and BITS_PER_VALUE[self.published] >= 16):
            return False
        return not (self.weights == "fp8" and BITS_PER_VALUE[self.published] >= 16)

    @property
    def checkpoint(self) -> str:
        """Checkpoint that the engine loads: a published name or a path variable."""
        return MODEL_PATH if self.needs_checkpoint else self.model

    def environment(self, replica: int) -> dict[str, str]:
        """Return the environment of one server on a node; empty where the server uses all GPUs of the node."""
        if self.replicas_per_gang == 1 and self.ranks_per_node == self.gpus_per_node:
            return {}
        first = replica * self.ranks_per_node
        return {self.visible_devices: ",".join(str(first + i) for i in range(self.ranks_per_node))}

    def notes(self) -> tuple[str, ...]:
        """Return notes on everything that flags cannot express."""
        notes = []
        if self.checkpoint == MODEL_PATH:
            what = (
                f"a checkpoint in {self.weights}; the published one is in {self.published}"
                if self.needs_checkpoint
                else "the folder of the model"
            )
            notes.append(f"MODEL_PATH: {what}")
        if self.draft_tokens and not self.drafts_itself:
            notes.append(
                "speculative decoding is planned, but the engine does not support multi-token-prediction layers of this"
                " model: provide a draft model"
            )
        if self.prefill_replicas:
            notes.append(
                f"{self.prefill_replicas} replicas prefill (ROLE=prefill), the others decode (ROLE=decode); KV caches"
                " move from the former to the latter, and the engine's own router distributes requests to both"
            )
        if self.nodes % self.nodes_per_gang:
            notes.append(f"{self.nodes % self.nodes_per_gang} nodes stay idle, because they do not fill a replica")
        return tuple(notes)


def serving_settings(
    plan: Plan,
    performance: InferencePerformance,
    workload: InferenceWorkload,
    architecture: ModelArchitecture,
    engine: ServingEngine,
) -> ServingSettings:
    """Return the settings of a serving plan for one engine."""
    choice, memory, layout = plan.choice, plan.memory_per_gpu, plan.choice.layout
    given = plan.spec.engine
    share = given.gpu_memory_utilization or plan.spec.headroom.memory_fraction
    whole = memory.capacity_bytes / share
    besides = memory.activations_bytes + memory.overhead_bytes
    free = whole - memory.weights_bytes - besides
    cache = memory.capacity_bytes - memory.weights_bytes - besides
    return ServingSettings(
        model=_model(plan),
        tensor=layout.tensor,
        pipeline=layout.pipeline,
        expert=layout.expert,
        attention_data=layout.attention_data,
        is_moe=architecture.routed_expert_parameters > 0,
        nodes=choice.nodes,
        gpus_per_node=choice.gpus // choice.nodes,
        weights=choice.weights,
        published=architecture.published_precision,
        kv_cache=choice.kv_cache,
        context_tokens=workload.longest_context_tokens,
        sequences=max(1, performance.max_concurrency // layout.data),
        chunk_tokens=batched_tokens(given, workload),
        chunked_prefill=workload.chunked_prefill,
        memory_fraction=share,
        static_fraction=given.gpu_memory_utilization or _floor_percent((memory.capacity_bytes - besides) / whole),
        cache_fraction=given.gpu_memory_utilization or _floor_percent(cache / free if free > 0 else 0.0),
        enforce_eager=given.enforce_eager,
        prefix_cache=True,
        prefill_replicas=sum(pool.replicas for pool in performance.pools if pool.role == "prefill"),
        draft_tokens=0 if workload.speculation is None else workload.speculation.draft_tokens,
        drafts_itself=architecture.model_type in engine.mtp_families,
        visible_devices="HIP_VISIBLE_DEVICES"
        if plan.software and plan.software.stack == "ROCm"
        else "CUDA_VISIBLE_DEVICES",
    )


def split_notes(settings: ServingSettings, engine: ServingEngine) -> tuple[str, ...]:
    """Return notes on the parts of the planned layout that the engine does not support."""
    notes = []
    whole = engine.expert_parallel == "tensor" and settings.expert not in (1, settings.tensor)
    uneven = engine.expert_parallel == "divides-tensor" and settings.tensor % settings.expert
    if settings.is_moe and (whole or uneven):
        notes.append(
            f"the plan spreads experts over {settings.expert} of {settings.tensor} ranks; {engine.title} spreads them"
            + (" over all ranks" if whole else " over a divisor of the ranks")
        )
    if settings.attention_data > 1 and not engine.attention_data_parallel:
        notes.append(f"data-parallel attention is planned; {engine.title} does not support it")
    return tuple(notes)


def _model(plan: Plan) -> str:
    """Return the published name of the model, or the variable with its path on the node."""
    named = isinstance(plan.spec.model, str) and find_preset(plan.spec.model) is not None
    return plan.model.name if named or not isinstance(plan.spec.model, str) else MODEL_PATH


def _floor_percent(share: float) -> float:
    return max(0.01, min(0.99, int(share * 100) / 100))
