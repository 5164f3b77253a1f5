"""Rules of thumb from the hardware guide for DeepSeek-class models, next to the values that this package computes.

The guide states neither units nor the meaning of its symbols. Each rule is read in the way that comes closest to being
right, and its row states the reading: P parameters, L tokens of context, B sequences.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from planner.plan.layout import Layout
from planner.sizing.kv_cache import BLOCK_TOKENS, kv_cache_bytes, kv_cache_bytes_per_token
from planner.sizing.overhead import CUDA_CONTEXT_BYTES, SERVING_WORKSPACE_BYTES
from planner.sizing.profile import ModelProfile
from planner.sizing.training_memory import training_memory
from planner.sizing.weights import weights_bytes
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.gpu_memory import MEMORY_FRACTION

GIB: Final = 2**30
A100_80GB_BYTES: Final = 80 * GIB
"""NVIDIA A100 80GB as nvidia-smi reports it: 81920 MiB."""
CARD_24GB_BYTES: Final = 24 * GIB
GUIDE_7B: Final = "meta-llama/Llama-2-7b-hf"
GUIDE_13B: Final = "meta-llama/Llama-2-13b-hf"
"""Published models that stand for the nominal sizes of the guide."""
CHECKPOINTING: Final[tuple[Literal["none"], Literal["full"]]] = ("none", "full")
CHECKPOINTED_SHARE: Final = 0.6
"""Share of memory that remains with gradient checkpointing, by the guide."""
RUNTIME_BYTES: Final = CUDA_CONTEXT_BYTES + SERVING_WORKSPACE_BYTES


@dataclass(frozen=True, slots=True)
class GuideRow:
    """One rule of the guide and the value of this package."""

    rule: str
    reading: str
    """Meaning that its symbols are taken to have."""
    unit: str
    guide: float
    ours: float
    why: str

    @property
    def off_by(self) -> float:
        """The guide's value in multiples of ours: 1 is right, 2 is twice too much."""
        return self.guide / self.ours


def guide_rows(
    architecture: ModelArchitecture,
    context_tokens: int,
    sequences: int,
    named_model: Callable[[str], ModelArchitecture],
) -> tuple[GuideRow, ...]:
    """The guide's rules for a model at a context and batch, and its claims about models of its own.

    Args:
        architecture: the model.
        context_tokens: L of the rules.
        sequences: B of the rules.
        named_model: gives the architecture of a preset, for the claims about 7B and 13B.
    """
    return (*_rules(architecture, context_tokens, sequences), *_claims(named_model, context_tokens))


def guide_flops(parameters: float, tokens: int, sequences: int) -> float:
    """FLOPs ≈ 2·P·L·B: one multiply-add a parameter and token, of one forward pass."""
    return 2.0 * parameters * tokens * sequences


def guide_memory_gib(parameters: float, activations: float) -> float:
    """(parameters × 2 + activations × 4) / 1024, both in millions: 16-bit weights and fp32 activations.

    The result is read as GiB. Megabytes of 10^6 bytes over 1024 are neither GB nor GiB; the number is 4.9 % too high.
    """
    return (parameters / 1e6 * 2 + activations / 1e6 * 4) / 1024


def forward_flops(architecture: ModelArchitecture, tokens: int, sequences: int) -> float:
    """FLOPs of one forward pass: active matrices, head and causal attention. The embedding is a look-up."""
    profile = ModelProfile.of(architecture)
    per_token = profile.matmul_flops_per_token + profile.causal_attention_flops_per_token(tokens)
    return per_token * tokens * sequences


def serving_bytes(architecture: ModelArchitecture, tokens: int, sequences: int) -> int:
    """16-bit weights, paged 16-bit KV cache and the runtime on one GPU."""
    cache = kv_cache_bytes(architecture, tokens, sequences, "bf16", block_tokens=BLOCK_TOKENS)
    return weights_bytes(architecture, "fp16") + cache + RUNTIME_BYTES


def longest_context_tokens(architecture: ModelArchitecture, sequences: int, memory_bytes: int) -> int:
    """Tokens per sequence that fit into 0.9 of the memory beside 16-bit weights, while no window is full."""
    free = int(memory_bytes * MEMORY_FRACTION) - weights_bytes(architecture, "fp16") - RUNTIME_BYTES
    return max(0, int(free / (kv_cache_bytes_per_token(architecture, "bf16") * sequences)))


def _rules(architecture: ModelArchitecture, tokens: int, sequences: int) -> Iterator[GuideRow]:
    at = f"L = {tokens} tokens, B = {sequences} sequences"
    total = architecture.total_parameters
    flops = forward_flops(architecture, tokens, sequences)
    yield GuideRow(
        "FLOPs ≈ 2·P·L·B",
        f"one forward pass, P = all parameters, {at}",
        "TFLOP",
        guide_flops(total, tokens, sequences) / 1e12,
        flops / 1e12,
        _flops_reason(architecture, tokens),
    )
    activations = float(tokens * sequences * architecture.hidden_size * architecture.layer_count)
    by_guide = guide_memory_gib(total, activations)
    reading = f"millions of parameters and of activations (one hidden state a token and layer), GiB, {at}"
    cache = kv_cache_bytes(architecture, tokens, sequences, "bf16", block_tokens=BLOCK_TOKENS)
    yield GuideRow(
        "memory = (parameters × 2 + activations × 4) / 1024, serving",
        reading,
        "GiB",
        by_guide,
        serving_bytes(architecture, tokens, sequences) / GIB,
        f"4 bytes a hidden value are the 16-bit keys and values of multi-head attention; this model keeps "
        f"{cache / activations:.2f} ({cache / GIB:,.1f} GiB). The runtime is left out, and 10^6 over 2^10 adds 4.9 %",
    )
    none, full = (_training_bytes(architecture, tokens, sequences, recompute) for recompute in CHECKPOINTING)
    yield GuideRow(
        "memory = (parameters × 2 + activations × 4) / 1024, training",
        reading,
        "GiB",
        by_guide,
        none.total / GIB,
        f"mixed precision with AdamW takes 18 bytes a parameter, not 2 ({18 * total / GIB:,.0f} GiB), and a layer "
        f"keeps {none.activations / activations:.0f} bytes a hidden value, not 4 (Korthikanti et al. 2022, eq. 1)",
    )
    yield from _int8_rules(architecture, cache)
    yield GuideRow(
        "gradient checkpointing: memory −40 %, activations",
        f"activations in training with and without full recompute, {at}",
        "GiB",
        CHECKPOINTED_SHARE * none.activations / GIB,
        full.activations / GIB,
        f"full recompute keeps a layer's input and works on one layer at a time: "
        f"−{1 - full.activations / none.activations:.0%} here, for a third more compute",
    )
    yield GuideRow(
        "gradient checkpointing: memory −40 %, all training memory",
        f"weights, gradients, AdamW and activations on one GPU, {at}",
        "GiB",
        CHECKPOINTED_SHARE * none.total / GIB,
        full.total / GIB,
        f"recompute touches activations only, {none.activations / none.total:.0%} of the memory here: "
        f"−{1 - full.total / none.total:.0%} in all",
    )


def _int8_rules(architecture: ModelArchitecture, cache: int) -> Iterator[GuideRow]:
    high, low = weights_bytes(architecture, "fp16"), weights_bytes(architecture, "int8")
    yield GuideRow(
        "INT8 halves memory, weights",
        "16-bit weights against INT8 with one fp16 scale per 128 values",
        "GiB",
        high / 2 / GIB,
        low / GIB,
        "embedding, head, norms and routers stay in 16 bits, and the scales take 1.6 % of the rest",
    )
    yield GuideRow(
        "INT8 halves memory, weights and KV cache",
        "the same with a 16-bit KV cache beside both",
        "GiB",
        (high + cache) / 2 / GIB,
        (low + cache) / GIB,
        f"weight quantization leaves the cache as it is, {cache / (high + cache):.0%} of the memory here",
    )


def _claims(named_model: Callable[[str], ModelArchitecture], tokens: int) -> Iterator[GuideRow]:
    seven, thirteen = named_model(GUIDE_7B), named_model(GUIDE_13B)
    tokens = min(tokens, *(model.max_position_embeddings or tokens for model in (seven, thirteen)))
    for rule, batch, memory_bytes in (
        ("7B in fp16 with batch 32 on one A100 80 GB", 32, A100_80GB_BYTES),
        ("7B with batch 16 in 24 GB", 16, CARD_24GB_BYTES),
    ):
        need = serving_bytes(seven, tokens, batch)
        longest = longest_context_tokens(seven, batch, memory_bytes)
        fits = "fits" if need <= memory_bytes * MEMORY_FRACTION else "does not fit"
        training = _training_bytes(seven, tokens, batch, "full").total
        yield GuideRow(
            rule,
            f"serving {seven.name} at L = {tokens} tokens; the guide's value is the card",
            "GiB",
            memory_bytes / GIB,
            need / GIB,
            f"{fits} in 0.9 of the card: the claim names no context, and batch {batch} holds up to {longest} tokens "
            f"each; training the same takes {training / GIB:,.0f} GiB with full recompute",
        )
    none, full = (_training_bytes(thirteen, tokens, 1, recompute).total for recompute in CHECKPOINTING)
    eight = _training_bytes(thirteen, tokens, 1, "none", tensor=8).total
    yield GuideRow(
        "13B needs activation checkpointing",
        f"training {thirteen.name} on one A100 80 GB, L = {tokens}, micro-batch 1; the guide's value is the card",
        "GiB",
        A100_80GB_BYTES / GIB,
        full / GIB,
        f"weights, gradients and AdamW are what is too large: {none / GIB:,.0f} GiB without checkpointing, "
        f"{full / GIB:,.0f} with it; over 8 tensor-parallel GPUs it takes {eight / GIB:,.0f} GiB each without any",
    )


@dataclass(frozen=True, slots=True)
class _TrainingBytes:
    activations: int
    total: int


def _training_bytes(
    architecture: ModelArchitecture, tokens: int, sequences: int, recompute: Literal["none", "full"], tensor: int = 1
) -> _TrainingBytes:
    """One micro-batch of all sequences, AdamW in bf16 mixed precision, FlashAttention."""
    layout = Layout(micro_batch=sequences, recompute=recompute, tensor=tensor, sequence_parallel=tensor > 1)
    memory = training_memory(ModelProfile.of(architecture), layout, tokens, 1, 0)
    return _TrainingBytes(memory.activations_bytes, memory.total_bytes)


def _flops_reason(architecture: ModelArchitecture, tokens: int) -> str:
    profile = ModelProfile.of(architecture)
    matrices = profile.matmul_flops_per_token
    attention = profile.causal_attention_flops_per_token(tokens) / matrices
    experts = architecture.routed_expert_parameters - profile.expert_flops_per_token / 2
    reasons = [f"attention over the context adds {attention:.1%} to the matrices"]
    if experts > 0:
        share = experts / architecture.total_parameters
        reasons.append(f"experts that a token is not sent to, {share:.0%} of P, compute nothing for it")
    looked_up = (architecture.embedding_parameters if not architecture.tied_embeddings else 0) / (
        architecture.total_parameters
    )
    if looked_up:
        reasons.append(f"the embedding, {looked_up:.1%} of P, is looked up")
    return "; ".join(reasons)
