"""Seconds that one micro-batch keeps a GPU busy in one layer: matrix products, attention, and what moves data."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from planner.sizing.efficiency import KernelRates
from planner.sizing.layer_profile import attention_flops_per_context_token, layer_profile
from planner.training.adapter_time import AdapterTime, AdapterTimer, Side
from provider_catalog.architecture import Attention, FeedForward, LayerGroup

Recompute = Literal["none", "selective", "full"]

FORWARD_PASSES: Final = 3
"""Times that a stored activation crosses the memory bus going forward: written, and read by the one or two kernels
that follow."""
BACKWARD_PASSES: Final = 4
"""Going backward: read again, its gradient written and read, and summed where two branches meet. Both together:
estimate, 4 to 8 by how much is fused."""
CAST_PASSES: Final = 1
"""More of both in 8-bit training, shared between them: products read casts of their 16-bit inputs."""
SCORE_BYTES: Final = (13, 18)
"""Traffic of one attention score without FlashAttention, (forward, backward): products write and read it in 16 bits,
softmax reads and writes it, dropout reads and writes it with a 1-byte mask (kernels of Megatron-LM, arXiv 2104.04473,
section 4.2)."""
FLASH_BACKWARD: Final = 2.5
"""FLOPs of FlashAttention's backward pass over its forward pass: 5 products of 2 (arXiv 2307.08691, section 4.1)."""
GRADIENT_BYTES: Final = 8
"""An fp32 weight gradient is read and written back for every micro-batch."""


class Split(NamedTuple):
    """What the time of a layer depends on."""

    tensor: int
    context: int
    expert: int
    micro_batch: int
    recompute: Recompute
    sequence_parallel: bool


class Product(NamedTuple):
    """Products of one shape: tokens x inner by inner x outer."""

    tokens: float
    inner: float
    outer: float
    times: float = 1
    recomputed: bool = False
    """Whether selective recompute runs it again: MLA's expansion of its latents."""


@dataclass(frozen=True, slots=True)
class LayerTime:
    """Seconds of one micro-batch in one layer of one rank."""

    matmul_forward: float = 0.0
    matmul_input: float = 0.0
    """Backward, gradients of inputs."""
    matmul_weight: float = 0.0
    """Backward, gradients of weights; 0 where weights are frozen."""
    attention_forward: float = 0.0
    attention_backward: float = 0.0
    elementwise_forward: float = 0.0
    elementwise_backward: float = 0.0
    recompute: float = 0.0
    adapters_forward: float = 0.0
    adapters_backward: float = 0.0
    dequantize_forward: float = 0.0
    dequantize_backward: float = 0.0


@dataclass(frozen=True, slots=True)
class LayerTimer:
    """Times layers of one model on one kind of GPU."""

    rates: KernelRates
    hidden: int
    sequence_length: int
    flash_attention: bool
    adapters: AdapterTimer | None = None
    """Of weights that are frozen; None: they are trained."""

    def time(self, group: LayerGroup, split: Split) -> LayerTime:
        """One layer of a group; the products of a backward pass are those of the forward pass, turned."""
        tokens = split.micro_batch * self.sequence_length / split.context
        rates = self.rates
        forward = inputs = weights = again = 0.0
        beside = AdapterTime() if self.adapters is None else self.adapters.time(self._sides(group, split, tokens))
        for product in self._products(group, split, tokens):
            rows, inner, outer, times, recomputed = product
            once = times * rates.product_s(rows, inner, outer)
            forward += once
            inputs += times * rates.product_s(rows, outer, inner)
            if self.adapters is None:
                weights += times * rates.product_s(inner, rows, outer, GRADIENT_BYTES)
            if recomputed:
                again += once
        attention_forward, attention_backward = self._attention(group.attention, split, tokens)
        kept, cheap = self._stored_bytes(group, split)
        casts = CAST_PASSES / 2 if rates.value_bytes == 1 else 0
        elementwise_forward = rates.streaming_s(tokens * kept * (FORWARD_PASSES + casts))
        recompute, expansions = 0.0, 1
        if split.recompute == "full":
            recompute, expansions = forward + attention_forward + elementwise_forward + beside.forward, 2
        elif split.recompute == "selective":
            recompute = (
                again + rates.streaming_s(tokens * cheap * FORWARD_PASSES)
                if self.flash_attention
                else attention_forward
            )
        return LayerTime(
            matmul_forward=forward,
            matmul_input=inputs,
            matmul_weight=weights,
            attention_forward=attention_forward,
            attention_backward=attention_backward,
            elementwise_forward=elementwise_forward,
            elementwise_backward=rates.streaming_s(tokens * kept * (BACKWARD_PASSES + casts)),
            recompute=recompute,
            adapters_forward=beside.forward,
            adapters_backward=beside.backward,
            dequantize_forward=beside.dequantize,
            dequantize_backward=expansions * beside.dequantize,
        )

    def head(self, vocabulary: int, split: Split) -> LayerTime:
        """Output projection and loss: logits in 16 bits, softmax and gradient in fp32."""
        tokens = split.micro_batch * self.sequence_length / split.context
        once = self.rates.head_s(2.0 * tokens * self.hidden * vocabulary / split.tensor)
        logits = self.rates.streaming_s(tokens * vocabulary / split.tensor * 8)
        return LayerTime(
            matmul_forward=once,
            matmul_input=once,
            matmul_weight=once if self.adapters is None else 0.0,
            elementwise_forward=logits,
            elementwise_backward=logits,
        )

    def _products(self, group: LayerGroup, split: Split, tokens: float) -> Iterator[Product]:
        yield from _attention_products(group.attention, self.hidden, split.tensor, tokens)
        yield from _feed_forward_products(group.feed_forward, self.hidden, split, tokens)

    def _sides(self, group: LayerGroup, split: Split, tokens: float) -> Iterator[Side]:
        for product in _attention_products(group.attention, self.hidden, split.tensor, tokens):
            yield Side(*product[:4], part="attention")
        block = group.feed_forward
        dense = replace(block, experts=0, experts_per_token=0)
        for product in _feed_forward_products(dense, self.hidden, split, tokens):
            yield Side(*product[:4], part="feed_forward")
        # The router comes first, and carries none.
        routed = replace(block, intermediate_size=0)
        for product in list(_feed_forward_products(routed, self.hidden, split, tokens))[1:]:
            yield Side(*product[:4], part="experts")

    def _attention(self, attention: Attention, split: Split, tokens: float) -> tuple[float, float]:
        """(forward, backward): context parallelism shares the work evenly (zigzag order of blocks)."""
        per_context = attention_flops_per_context_token(attention) / split.tensor
        if not per_context:
            return 0.0, 0.0
        length = self.sequence_length
        rates = self.rates
        if self.flash_attention:
            window = min(attention.window or length, length)
            visible = window * (1 - window / (2 * length))
            once = rates.attention_s(tokens * per_context * visible, window, attention.head_dim)
            return once, FLASH_BACKWARD * once
        # Without FlashAttention every token meets the whole sequence, and the mask hides half of it.
        flops = tokens * per_context * length
        products = flops * (1 + rates.half_depth / attention.head_dim) / rates.head_flops_per_s
        scores = attention.heads / split.tensor * tokens * length
        forward, backward = (products * passes for passes in (1, 2))
        return (
            forward + rates.streaming_s(scores * SCORE_BYTES[0]),
            backward + rates.streaming_s(scores * SCORE_BYTES[1]),
        )

    def _stored_bytes(self, group: LayerGroup, split: Split) -> tuple[float, float]:
        """Activations of a token that a layer writes, and of them what is cheap to compute again."""
        layer = layer_profile(group, self.hidden)
        whole = split.tensor if split.sequence_parallel else 1
        kept = layer.replicated_activation_bytes / whole + layer.sharded_activation_bytes / split.tensor
        cheap = layer.cheap_replicated_activation_bytes / whole + layer.cheap_sharded_activation_bytes / split.tensor
        return kept, cheap


def _attention_products(attention: Attention, hidden: int, tensor: int, tokens: float) -> Iterator[Product]:
    """Projections of the block; latent down-projections are whole on every tensor-parallel rank."""
    if attention.kind == "none":
        return
    value_dim = attention.value_head_dim or attention.head_dim
    heads = attention.heads / tensor
    if attention.kind == "gqa":
        kv_heads = max(attention.kv_heads / tensor, 1)
        yield Product(tokens, hidden, heads * attention.head_dim + kv_heads * (attention.head_dim + value_dim))
    elif attention.kind == "mla":
        query = attention.q_lora_rank or hidden
        yield Product(
            tokens, hidden, (attention.q_lora_rank or 0) + attention.kv_lora_rank + attention.qk_rope_head_dim
        )
        yield Product(tokens, query, heads * attention.head_dim, recomputed=attention.q_lora_rank is not None)
        expanded = heads * (attention.head_dim - attention.qk_rope_head_dim + value_dim)
        yield Product(tokens, attention.kv_lora_rank, expanded, recomputed=True)
    else:
        matrices = attention.parameters - attention.high_precision_parameters
        yield Product(tokens, hidden, max(matrices / hidden - attention.heads * value_dim, 1) / tensor)
    yield Product(tokens, heads * value_dim, hidden)


def _feed_forward_products(feed_forward: FeedForward, hidden: int, split: Split, tokens: float) -> Iterator[Product]:
    """Dense or shared block, divided by tensor parallelism; routed experts on tensor x expert ranks, whole if enough.

    Routing is taken as balanced: every rank gets as many copies as it sends.
    """
    up = 2 if feed_forward.gated else 1
    if feed_forward.intermediate_size:
        width = feed_forward.intermediate_size / split.tensor
        yield Product(tokens, hidden, up * width)
        yield Product(tokens, width, hidden)
    if feed_forward.experts:
        yield Product(tokens / split.tensor, hidden, feed_forward.experts)
        ranks = split.tensor * split.expert
        local = max(feed_forward.experts / ranks, 1.0)
        width = feed_forward.expert_intermediate_size / max(ranks / feed_forward.experts, 1.0)
        rows = tokens * split.expert * feed_forward.experts_per_token / feed_forward.experts
        yield Product(rows, hidden, up * width, times=local)
        yield Product(rows, width, hidden, times=local)
