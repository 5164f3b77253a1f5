"""Bytes of weights, gradients and optimizer state by optimizer and training method, before and after ZeRO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from planner.sizing.adapters import EVERYWHERE, AdapterShares, adapter_shares

if TYPE_CHECKING:
    from planner.spec import Optimizer, TrainingMethod, TrainingWorkload
    from provider_catalog.architecture import ModelArchitecture

WEIGHT_BYTES: Final = 2
"""bf16 weights."""
GRADIENT_BYTES: Final = {"fp32": 4, "bf16": 2}
"""Bytes per gradient. fp32 is how Megatron-LM accumulates bf16 training, which takes 18 bytes per parameter in all
(Korthikanti et al. 2022, arXiv 2205.05198); with the 16-bit gradients of ZeRO (arXiv 1910.02054, section 3.1) it takes
16."""
NF4_BYTES: Final = (4 + 0.127) / 8
"""4-bit NormalFloat and its doubly quantized scales, 0.127 bits a parameter (QLoRA, arXiv 2305.14314, section 3)."""
ADAM_8BIT_BLOCK: Final = 256
"""Values that share one fp32 scale: bitsandbytes optimizer.py. The paper (arXiv 2110.02861, section 2.1) had 2048."""


@dataclass(frozen=True, slots=True)
class OptimizerBytes:
    """Bytes of state by kind of parameter, fp32 master weight included."""

    matrix: float
    """Bytes per parameter of a matrix inside a layer."""
    embedding: float
    """Bytes per parameter of the embedding and the head."""
    vector: float
    """Bytes per norm weight, bias and other one-dimensional parameter."""
    edge: float = 0.0
    """Bytes per row and per column of a matrix."""
    paged: float = 0.0
    """Bytes per parameter in pageable memory, which the GPU needs only during the optimizer step."""


def _uniform(bytes_per_parameter: float) -> OptimizerBytes:
    return OptimizerBytes(bytes_per_parameter, bytes_per_parameter, bytes_per_parameter)


OPTIMIZERS: Final[dict[Optimizer, OptimizerBytes]] = {
    # fp32 master weight and two fp32 moments: ZeRO, arXiv 1910.02054, section 3.1, K = 12
    "adamw": _uniform(4 + 4 + 4),
    # fp32 master weight, bf16 moments: DeepSeek-V3, arXiv 2412.19437, section 3.3.3
    "adamw-bf16-moments": _uniform(4 + 2 + 2),
    # Two 8-bit moments with block scales: Dettmers et al. 2021, arXiv 2110.02861
    "adamw-8bit": _uniform(4 + 2 * (1 + 4 / ADAM_8BIT_BLOCK)),
    # No first moment; the second as row and column sums of a matrix, whole of a vector: Shazeer and Stern 2018,
    # arXiv 1804.04235, sections 3 and 6
    "adafactor": OptimizerBytes(matrix=4, embedding=4, vector=8, edge=4),
    # One momentum for matrices, AdamW for the rest: Jordan et al. 2024 (kellerjordan.github.io/posts/muon); Liu et al.
    # 2025, arXiv 2502.16982, section 2.3
    "muon": OptimizerBytes(matrix=8, embedding=12, vector=12),
    # Two fp32 moments in unified memory, evicted to the host between steps, no master weight: QLoRA, arXiv 2305.14314,
    # section 3, with bitsandbytes' paged_adamw_32bit
    "paged-adamw": OptimizerBytes(matrix=0, embedding=0, vector=0, paged=4 + 4),
    # One fp32 momentum: PyTorch, torch.optim.SGD
    "sgd-momentum": _uniform(4 + 4),
}


@dataclass(frozen=True, slots=True)
class StateRules:
    """Settings that decide the training state of a run."""

    optimizer: Optimizer = "adamw"
    gradient_bytes: int = GRADIENT_BYTES["fp32"]
    method: TrainingMethod = "full"
    lora_rank: int = 16
    adapters: AdapterShares = EVERYWHERE
    """Shares of the matrices that carry an adapter."""

    @classmethod
    def of(cls, workload: TrainingWorkload, architecture: ModelArchitecture) -> StateRules:
        """Rules of a workload on a model.

        Raises:
            SpecError: The adapters of the workload do not fit the model.
        """
        return cls(
            optimizer=workload.optimizer,
            gradient_bytes=GRADIENT_BYTES[workload.gradient_precision],
            method=workload.method,
            lora_rank=workload.lora_rank,
            adapters=EVERYWHERE if workload.method == "full" else adapter_shares(workload, architecture),
        )


@dataclass(frozen=True, slots=True)
class RankParameters:
    """Parameters on one rank after tensor, pipeline and expert parallelism, before ZeRO."""

    dense: float
    """All parameters without routed experts, with embedding and head."""
    expert: float
    embedding: float
    vectors: float
    unquantized: float
    """Dense parameters that QLoRA leaves in 16 bits: embedding, head, vectors and routers."""
    dense_edges: float
    expert_edges: float
    attention_edges: float
    """Part of dense_edges that belongs to attention matrices."""
    feed_forward_edges: float
    """Part of dense_edges that belongs to dense and shared feed-forward matrices."""


@dataclass(frozen=True, slots=True)
class StateBytes:
    """Bytes of one rank; each pair is (dense, routed experts), which ZeRO divides by different degrees."""

    weights: tuple[float, float]
    gradients: tuple[float, float]
    optimizer: tuple[float, float]


def adapter_parameters(held: RankParameters, rules: StateRules) -> tuple[float, float]:
    """LoRA parameters on one rank: (dense, routed experts).

    Each targeted matrix has r·(inputs + outputs) of them (LoRA, arXiv 2106.09685, section 4.1).
    """
    shares = rules.adapters
    dense = shares.attention * held.attention_edges + shares.feed_forward * held.feed_forward_edges
    return rules.lora_rank * dense, rules.lora_rank * shares.experts * held.expert_edges


def state_bytes(held: RankParameters, rules: StateRules) -> StateBytes:
    """Weights, gradients and optimizer state of one rank without ZeRO.

    With LoRA and QLoRA, only adapters have gradients and optimizer state, in the same mixed precision as in full
    training. Adapters are divided in the same way as their matrix.
    """
    per = OPTIMIZERS[rules.optimizer]
    if rules.method == "full":
        matrices = held.dense - held.embedding - held.vectors
        optimizer = per.matrix * matrices + per.embedding * held.embedding + per.vector * held.vectors
        return StateBytes(
            weights=(WEIGHT_BYTES * held.dense, WEIGHT_BYTES * held.expert),
            gradients=(rules.gradient_bytes * held.dense, rules.gradient_bytes * held.expert),
            optimizer=(
                optimizer + per.edge * held.dense_edges,
                per.matrix * held.expert + per.edge * held.expert_edges,
            ),
        )
    frozen = NF4_BYTES if rules.method == "qlora" else WEIGHT_BYTES
    dense = frozen * (held.dense - held.unquantized) + WEIGHT_BYTES * held.unquantized
    adapters = adapter_parameters(held, rules)
    edges = (adapters[0] / rules.lora_rank, adapters[1] / rules.lora_rank)
    return StateBytes(
        weights=(dense + WEIGHT_BYTES * adapters[0], frozen * held.expert + WEIGHT_BYTES * adapters[1]),
        gradients=(rules.gradient_bytes * adapters[0], rules.gradient_bytes * adapters[1]),
        optimizer=(
            per.matrix * adapters[0] + per.edge * edges[0],
            per.matrix * adapters[1] + per.edge * edges[1],
        ),
    )
