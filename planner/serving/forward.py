"""Analytic timing of forward passes: the kernels that one GPU runs, and the collectives between GPUs."""

from dataclasses import dataclass, replace
from math import ceil

from planner.plan.layout import Layout
from planner.serving.collective_times import CollectiveTimes
from planner.serving.generation_rates import GenerationRates, rates_of
from planner.serving.kernels import (
    BF16_BYTES,
    AttentionRates,
    Device,
    Gemm,
    GroupedGemm,
    RowCost,
    decode_attention_s,
    elementwise_s,
    prefill_attention_s,
)
from planner.sizing.weights import bytes_per_value
from provider_catalog.architecture import LayerGroup, ModelArchitecture
from provider_catalog.attention.base import Attention
from provider_catalog.feed_forward import FeedForward
from provider_catalog.hardware import Gpu, NodeTopology
from provider_catalog.matrices import RankShare
from provider_catalog.precision import BITS_PER_VALUE, Precision

INDEXER_HEADS = 64
"""Query heads of a sparse-attention indexer: DeepSeek-V3.2-Exp, config.json, `index_n_heads`."""
SELECTED_TOKENS = 2048
"""Tokens that an indexer selects for attention: DeepSeek-V3.2-Exp, config.json, `index_topk`."""
SPARSE_HEADS = 64
"""Heads to which sparse kernels pad: FlashMLA's sparse attention takes 64 or 128 query heads."""
INDEXER_LAUNCH_S = 80e-6
"""Time of scoring, top-k and gather before the sparse attention of a decode step. Estimate, 30 to 120 us."""

COMMUNICATING_SHARE = 20 / 132
"""Share of an H800's multiprocessors that dispatch and combine occupy during prefill: DeepSeek-V3, arXiv 2412.19437,
section 3.2.2. During decode the network cards do that work instead (section 3.4.2)."""


@dataclass(frozen=True, slots=True)
class Pass:
    """The work of one forward pass: prompts or chunks of prompts, decoding sequences, or both."""

    prompts: float = 0
    """Prompts, or chunks of prompts, in the pass."""
    prompt_tokens: float = 0
    """New tokens of each prompt."""
    cached_tokens: float = 0
    """Tokens of each prompt that are in the KV cache already: a shared prefix, or earlier chunks."""
    decodes: float = 0
    """Decoding sequences in the pass."""
    context_tokens: float = 0
    """Tokens in the KV cache of each decoding sequence."""
    tokens_per_decode: float = 1
    """Tokens of each decoding sequence: 1, or 1 + draft tokens that speculative decoding verifies in the pass."""

    @property
    def tokens(self) -> float:
        """Tokens that go through every layer."""
        return self.prompts * self.prompt_tokens + self.decodes * self.tokens_per_decode

    @property
    def sampled(self) -> float:
        """Tokens whose logits are computed."""
        return self.prompts + self.decodes * self.tokens_per_decode


@dataclass(frozen=True, slots=True)
class _Layers:
    """Kernels of identical layers on one GPU."""

    count: int
    attention: Attention
    heads: int
    cache_values: float
    """Values that decoding reads for each cached token of a sequence."""
    state_bytes: float
    """Size of the recurrent state of one sequence."""
    projections: tuple[RowCost, ...]
    dense: tuple[RowCost, ...]
    inner: int
    """Width of the activation between the two dense products."""
    router: RowCost | None
    experts: GroupedGemm | None


class AnalyticTiming:
    """Times forward passes of one model in one layout on one kind of node."""

    def __init__(
        self,
        architecture: ModelArchitecture,
        node: NodeTopology,
        layout: Layout,
        weights: Precision,
        kv_cache: Precision,
        rates: GenerationRates | None = None,
    ) -> None:
        """Build the kernels that one GPU runs.

        Args:
            architecture: The model.
            node: Kind of node.
            layout: How one replica is split.
            weights: Format of the weights.
            kv_cache: Format of the KV cache.
            rates: Fitted constants; None takes those of the GPU's generation.
        """
        gpu = node.gpu
        self._layout = layout
        self._hidden = architecture.hidden_size
        self._rates = rates or rates_of(gpu)
        self._device = Device(gpu.memory_bandwidth_gb_per_s * 1e9, peak_flops(gpu, "bf16"))
        self._cache_bytes = BITS_PER_VALUE[kv_cache] / 8
        self._links = CollectiveTimes(node, layout, self._rates.collectives)
        shapes = _Shapes(architecture, gpu, layout, weights, self._rates, self._device, node.gpus)
        self._groups = tuple(shapes.layers(group) for group in architecture.layers)
        vocabulary = ceil(architecture.vocab_size * layout.attention_data / layout.tensor)
        self._head = shapes.product(architecture.hidden_size, vocabulary, "bf16")

    def seconds(self, work: Pass) -> float:
        """Return the time of one pass through all layers."""
        return sum(self.parts_s(work).values())

    def parts_s(self, work: Pass) -> dict[str, float]:
        """Return the time of one pass by kind of work; the parts sum to `seconds`."""
        own = self._own(work)
        if not self._links.overlap:
            return self._one_after_another_s(own, work.tokens, prompts=work.prompts > 0)
        # Two micro-batches take turns: one communicates while the other computes.
        half = replace(own, prompts=own.prompts / 2, decodes=own.decodes / 2)
        parts = self._one_after_another_s(half, work.tokens / 2, prompts=work.prompts > 0)
        exchanged = parts.pop("collectives")
        busy = COMMUNICATING_SHARE if work.prompts else 0.0
        parts = {name: 2 * seconds / (1 - busy) for name, seconds in parts.items()}
        return {**parts, "collectives": max(0.0, 2 * exchanged - sum(parts.values()))}

    def _one_after_another_s(self, own: Pass, tokens: float, *, prompts: bool) -> dict[str, float]:
        """Return the parts of a pass without overlap.

        Args:
            own: Work of one data-parallel attention group.
            tokens: Tokens of all groups together.
            prompts: Whether the pass holds prompts.
        """
        device, mine = self._device, own.tokens
        token_bytes = self._hidden * BF16_BYTES
        norms = 2 * elementwise_s(4 * token_bytes * mine, device)
        summed = self._links.attention_all_reduce_s(mine * token_bytes)
        projections = attention = experts = dense = elementwise = links = 0.0
        for layers in self._groups:
            count = layers.count
            projections += count * sum([product.seconds(mine) for product in layers.projections])
            attention += count * self._attention_s(layers, own)
            elementwise += count * norms
            if layers.attention.mixes_tokens:
                links += count * summed
            if layers.dense:
                dense += count * sum([product.seconds(mine) for product in layers.dense])
                elementwise += count * elementwise_s(3 * layers.inner * BF16_BYTES * mine, device)
            if layers.experts is not None and layers.router is not None:
                experts += count * (layers.experts.seconds(tokens, device) + layers.router.seconds(mine))
                copies = layers.experts.experts_per_token
                links += count * self._links.expert_exchange_s(tokens * token_bytes, copies, prompts=prompts)
            elif layers.dense:
                links += count * summed
        links += self._links.stage_transfer_s(tokens * token_bytes)
        return {
            "projections": projections,
            "attention": attention,
            "dense_feed_forward": dense,
            "experts": experts,
            "norms_and_activations": elementwise,
            "head": self._head.seconds(own.sampled),
            "collectives": links,
        }

    def _own(self, work: Pass) -> Pass:
        """Return the work of one data-parallel attention group."""
        groups = self._layout.attention_data
        if groups == 1:
            return work
        return replace(work, prompts=_share(work.prompts, groups), decodes=_share(work.decodes, groups))

    def _attention_s(self, layers: _Layers, work: Pass) -> float:
        if not layers.attention.mixes_tokens:
            return 0.0
        if layers.attention.recurrent:
            return self._recurrence_s(layers, work)
        rates, seconds = self._rates.attention, 0.0
        if work.prompts:
            seconds += self._prefill_attention_s(layers, work, rates)
        if work.decodes:
            seconds += self._decode_attention_s(layers, work, rates)
        return seconds

    def _prefill_attention_s(self, layers: _Layers, work: Pass, rates: AttentionRates) -> float:
        attention = layers.attention
        prompts = work.prompts
        pairs = visible_pairs(work.prompt_tokens, work.cached_tokens, _reach(attention))
        per_pair = attention.score_flops_per_context_token * layers.heads / attention.heads
        if attention.indexer_values_per_token and work.prompt_tokens + work.cached_tokens > SELECTED_TOKENS:
            per_pair = attention.selected_flops_per_entry(max(layers.heads, SPARSE_HEADS))
        flops = prompts * pairs * per_pair
        if attention.indexer_values_per_token:
            every = visible_pairs(work.prompt_tokens, work.cached_tokens, None) / attention.cache_compression
            flops += prompts * every * 2 * INDEXER_HEADS * attention.indexer_values_per_token
        width = layers.heads * (2 * attention.head_dim + 2 * attention.value_dim)
        moved = prompts * work.prompt_tokens * width * BF16_BYTES
        moved += prompts * work.cached_tokens * layers.cache_values * self._cache_bytes
        return prefill_attention_s(flops, moved, rates, self._device)

    def _decode_attention_s(self, layers: _Layers, work: Pass, rates: AttentionRates) -> float:
        attention = layers.attention
        sequences = work.decodes
        reach = _reach(attention)
        context = work.context_tokens if reach is None else min(work.context_tokens, reach)
        entries = context / (attention.cache_compression if not attention.indexer_values_per_token else 1)
        per_entry = attention.decode_flops_per_entry(layers.heads)
        flops = sequences * work.tokens_per_decode * entries * per_entry
        reads = sequences * entries * layers.cache_values * self._cache_bytes
        if attention.indexer_values_per_token:
            keys = sequences * work.context_tokens / attention.cache_compression * attention.indexer_values_per_token
            reads += keys * self._cache_bytes
            flops += keys * work.tokens_per_decode * 2 * INDEXER_HEADS
        seconds = decode_attention_s(flops, reads, entries, rates, self._device)
        return seconds + (INDEXER_LAUNCH_S if attention.indexer_values_per_token else 0.0)

    def _recurrence_s(self, layers: _Layers, work: Pass) -> float:
        """Return the time of convolution and scan, both memory-bound: prefill moves tokens, decode moves states."""
        attention, seconds = layers.attention, 0.0
        if work.prompts:
            width = layers.heads * (2 * attention.head_dim + 2 * attention.value_dim)
            tokens = work.prompts * work.prompt_tokens
            seconds += 2 * elementwise_s(2 * tokens * width * BF16_BYTES, self._device)
        if work.decodes:
            seconds += elementwise_s(2 * work.decodes * layers.state_bytes, self._device)
        return seconds


@dataclass(frozen=True, slots=True)
class _Shapes:
    """Builds the kernels of one GPU from the matrices that it holds."""

    architecture: ModelArchitecture
    gpu: Gpu
    layout: Layout
    weights: Precision
    rates: GenerationRates
    device: Device
    node_gpus: int

    def product(self, inputs: int, outputs: int, precision: Precision) -> RowCost:
        """Return the cost of a product, in the arithmetic that the GPU has for the weight format."""
        arithmetic = arithmetic_precision(precision, self.gpu) or "bf16"
        narrow = BITS_PER_VALUE[arithmetic] < 16
        gemm = Gemm(
            inputs=max(inputs, 1),
            outputs=max(outputs, 1),
            weight_bytes=bytes_per_value(precision),
            activation_bytes=bytes_per_value(arithmetic) if narrow else BF16_BYTES,
            peak_flops=peak_flops(self.gpu, arithmetic),
            rates=self.rates.gemm(precision, arithmetic),
        )
        return gemm.on(self.device)

    def layers(self, group: LayerGroup) -> _Layers:
        """Return the kernels of a layer of the group on the rank with most heads."""
        attention, feed_forward = group.attention, group.feed_forward
        ranks = self.layout.tensor // self.layout.attention_data
        heads = ceil(attention.heads / ranks) if attention.heads else 0
        kv_heads = ceil(attention.kv_heads / ranks) if attention.kv_heads else 0
        values = float(attention.cache_values_per_token)
        if attention.kv_heads > 1:
            values *= kv_heads / attention.kv_heads
        dense, inner = self._dense(feed_forward)
        return _Layers(
            count=group.count,
            attention=attention,
            heads=heads,
            cache_values=values,
            state_bytes=attention.state_values * BITS_PER_VALUE[attention.state_precision] / 8 / ranks,
            projections=self._projections(attention, heads, kv_heads, ranks),
            dense=dense,
            inner=inner,
            router=self._router(feed_forward),
            experts=self._experts(feed_forward),
        )

    def _published(self, part: Precision | None) -> Precision:
        """Return the weight format of a part of the model.

        Publishers leave some parts in a wider format. It applies as long as the published format is the served one.
        """
        return part if part is not None and self.weights == self.architecture.published_precision else self.weights

    def _projections(self, attention: Attention, heads: int, kv_heads: int, ranks: int) -> tuple[RowCost, ...]:
        """Products of the projections; engines fuse all of them that read the same vector."""
        precision = self._published(self.architecture.published_attention_precision)
        share = RankShare(heads, kv_heads, ranks, whole_columns=True)
        products = attention.products(share, fuses_whole=True)
        return tuple(self.product(int(product.inputs), int(product.outputs), precision) for product in products)

    def _dense(self, feed_forward: FeedForward) -> tuple[tuple[RowCost, ...], int]:
        """Return the products of a dense block or of the shared experts, and the width between them."""
        if not feed_forward.intermediate_size:
            return (), 0
        hidden = self.architecture.hidden_size
        precision = self._published(self.architecture.published_dense_precision)
        # Under data-parallel attention each group runs dense blocks and shared experts on its own tokens.
        inner = ceil(feed_forward.intermediate_size * self.layout.attention_data / self.layout.tensor)
        wide = feed_forward.up_matrices * inner
        return (self.product(hidden, wide, precision), self.product(inner, hidden, precision)), inner

    def _router(self, feed_forward: FeedForward) -> RowCost | None:
        if not feed_forward.experts:
            return None
        return self.product(self.architecture.hidden_size, feed_forward.experts, "bf16")

    def _experts(self, feed_forward: FeedForward) -> GroupedGemm | None:
        if not feed_forward.experts:
            return None
        precision = self._published(self.architecture.published_expert_precision)
        arithmetic = arithmetic_precision(precision, self.gpu) or "bf16"
        ranks = min(self.layout.expert, feed_forward.experts)
        return GroupedGemm(
            hidden=feed_forward.expert_hidden or self.architecture.hidden_size,
            width=ceil(feed_forward.expert_intermediate_size / max(1, self.layout.tensor // ranks)),
            matrices=len(feed_forward.expert_matrices),
            experts=feed_forward.experts,
            experts_per_token=feed_forward.experts_per_token,
            ranks=ranks,
            weight_bytes=bytes_per_value(precision),
            peak_flops=peak_flops(self.gpu, arithmetic),
            rates=self.rates.grouped(precision, arithmetic),
            rebalanced=ranks > self.node_gpus,
        )


def arithmetic_precision(weights: Precision, gpu: Gpu) -> Precision | None:
    """Return the format in which the GPU multiplies weights of a format; None where it has no such arithmetic.

    4-bit integers are a storage format: AWQ (arXiv 2306.00978) and GPTQ (arXiv 2210.17323) widen them to 16 bits before
    the product. The same holds for MXFP4, whose models keep 16-bit activations (gpt-oss model card, arXiv 2508.10925,
    section 2.1), for NVFP4 on GPUs without NVFP4 tensor cores, and for FP8 on Ampere (Marlin, vLLM pull 5975).
    """
    sixteen: Precision = "bf16" if "bf16" in gpu.peak_tflops else "fp16"
    if weights in ("int4", "mxfp4"):
        return sixteen
    if weights in gpu.peak_tflops:
        return weights
    return sixteen if BITS_PER_VALUE[weights] == 4 or (weights == "fp8" and gpu.generation == "Ampere") else None


def peak_flops(gpu: Gpu, precision: Precision) -> float:
    """Return the dense peak in a format, in FLOP/s."""
    return (gpu.peak_tflops.get(precision) or gpu.peak_tflops["fp16"]) * 1e12


def visible_pairs(new_tokens: float, cached_tokens: float, reach: float | None) -> float:
    """Return the pairs of a new token and a token that it attends to, causally and at most `reach` tokens back."""
    every = new_tokens * cached_tokens + new_tokens**2 / 2
    if reach is None or reach >= new_tokens + cached_tokens:
        return every
    # Until the window is full, a token attends to all tokens before it.
    filling = max(0.0, reach - cached_tokens)
    return filling * cached_tokens + filling**2 / 2 + (new_tokens - filling) * reach


def _share(sequences: float, groups: int) -> float:
    """Return the sequences of one group when they are spread evenly; a single sequence is not divided."""
    return max(min(1.0, sequences), sequences / groups)


def _reach(attention: Attention) -> float | None:
    """Return the most tokens that a layer attends to; None for full attention."""
    if attention.indexer_values_per_token:
        return SELECTED_TOKENS + attention.local_window
    return attention.window
