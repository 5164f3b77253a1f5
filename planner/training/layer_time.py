"""Compute time of one micro-batch in one layer: matrix products, attention and memory-bound operations."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from planner.sizing.adapters import Part
from planner.sizing.efficiency import KernelRates
from planner.sizing.layer_profile import BF16_BYTES, LayerProfile, layer_profile
from planner.spec.training_software import Framework
from planner.training.adapter_time import AdapterTime, AdapterTimer, FrozenProduct
from planner.vocabulary import Recompute
from provider_catalog.architecture import LayerGroup
from provider_catalog.attention.base import Attention
from provider_catalog.feed_forward import FeedForward
from provider_catalog.matrices import RankShare

RESIDUAL_PASSES: Final = (2.5, 2.5)
"""Memory passes over the activations that norms and residual sums keep, (forward, backward), without matrix products.

A norm reads and writes 4 bytes for the 4 kept; a residual sum reads two values and writes one. The backward pass does
the same with gradients. Estimate, 2 to 3.5, depending on fusion. Together with the passes below they reproduce the 7.2
and 11.8 ms of a 22B layer in Korthikanti et al. 2022 (arXiv 2205.05198), Table 4, within 5 %."""
INNER_PASSES: Final = (1.0, 2.2)
"""Memory passes over the activations that attention and feed-forward blocks keep, (forward, backward).

An activation function or a rotary embedding reads some of the kept values and writes the others. In the backward pass
SwiGLU reads 6 and writes 4 bytes for the 6 kept, and sums of gradients read and write more. Estimate, 1 to 3."""
COPY_PASSES: Final = (3.5, 3.5)
"""Memory passes over the token copies sent to experts and received back, (forward, backward).

Copies are sorted before and after the all-to-all in both directions, and summed (Megatron-Core's token permutation).
Estimate, 2 to 5."""
BIASED_EXPERT_BYTES: Final = ((28, 16), (40, 20))
"""Extra memory traffic of experts with biases in bytes, (forward, backward): per value of a token copy's output and per
value that leaves the activation function.

No kernel fuses these operations: the bias times the routing weight in 32 bits, the sum, the concatenation over local
experts and the cast back (Megatron-Core 0.15, TEGroupedMLP._apply_bias). Both halves are clamped and concatenated
before the fused gate (weighted_bias_quick_geglu_impl). The backward pass reverses this and sums over tokens and over
values for the gradients of bias and routing weight. The bytes are counted from that code, with one kernel per PyTorch
operation."""
EAGER_PASSES: Final = 1.5
"""Factor on residual and inner passes in eager PyTorch, which runs norms, rotary embeddings and activation functions as
several kernels each. Estimate, 1 to 2."""
SMALL_KERNELS: Final = {2.0: (14, 28), 1.0: (24, 44), 0.5: (28, 52)}
"""Kernels of a layer beside its products and attention, (forward, backward), by bytes of an operand: norms, residual
sums, rotary embeddings, activation functions, biases; below 16 bits a cast, a transpose and an absolute maximum for
each operand; collectives. Counted in Transformer Engine's layers; estimate, two thirds to twice as many."""
KERNEL_START_S: Final = 4e-6
"""Start and tail of such a kernel, in which the GPU moves no data. Estimate, 3e-6 to 6e-6. It is the start of a product
in `efficiency.py`. Published pairs of runs show it as a cost per layer that does not depend on tokens: GPT-3 on 512
H100 in MLPerf 3.1 and 4.0 with micro-batches of 1 and 2, Llama 2 70B with 1024 tokens a GPU in MLPerf 5.0, and the Qwen
fine-tunings of docs/training.md at 1024 to 8192 tokens."""
EAGER_KERNELS: Final = 4
"""Factor on the number of small kernels in eager PyTorch, which runs each operation as a kernel. Estimate, 3 to 6."""
EAGER: Final[dict[Framework, bool | None]] = {
    "auto": None,
    "megatron-core": False,
    "nemo": False,
    "torchtitan": False,
    "jax": False,
    "deepspeed": True,
    "hf-peft": True,
}
"""Whether a framework runs layers as single PyTorch operations. Megatron-Core and NeMo run Transformer Engine's fused
layers, torchtitan compiles them, JAX is compiled by XLA; DeepSpeed and PEFT train the modules of Hugging Face
Transformers as they are. None: by layout, see `LayerTimer`."""
ROUTING_S: Final = (0.4e-3, 0.6e-3)
"""Idle GPU seconds around the routing of one micro-batch to experts, (forward, backward).

Small kernels run in sequence, and the host waits for the token count of each expert. Estimate, 0.2 to 1 ms each:
Megatron Bridge's published layers of Qwen3 and DeepSeek-V3 take 0.8 ms beyond arithmetic and traffic on GB200, both
directions together. `kernel_launches.py` times launch waits beyond that."""
CAST_PASSES: Final = {2.0: 0.0, 1.0: 0.5, 0.5: 1.0}
"""Additional passes over all activations in each direction, by bytes of an operand: products read casts of 16-bit
values, and 4-bit products read them after a Hadamard transform (NVFP4 pretraining, arXiv 2509.25149, section 4)."""
PADDING_PASSES: Final = {2.0: 0.0, 1.0: 2.0, 0.5: 2.0}
"""Additional passes over token copies in each direction, by bytes of an operand.

Quantized products need each expert's rows in multiples of 16 or 32. Inputs are therefore copied with padding and
outputs without it (Megatron-Core 0.15, quantization_padding and quantization_unpadding of TEGroupedMLP)."""
SCORE_BYTES: Final = (13, 18)
"""Memory traffic of one attention score without FlashAttention in bytes, (forward, backward).

Products write and read it in 16 bits, softmax reads and writes it, and dropout reads and writes it with a 1-byte mask
(kernels of Megatron-LM, arXiv 2104.04473, section 4.2)."""
FLASH_BACKWARD: Final = 2.5
"""FLOPs of FlashAttention's backward pass over those of its forward pass: 5 products against 2 (arXiv 2307.08691,
section 4.1)."""
RECOMPUTED_PRODUCTS: Final = {"modules": 0.0, "operations": 0.5}
"""Share of products that selective recompute runs again, by granularity. In torchtitan and NeMo AutoModel, PyTorch's
selective checkpointing keeps the results of attention, of collectives and of every other product."""
SCAN_WINDOW: Final = 2500
"""Sequence length at which FlashAttention-2 takes as long as the scan of a state-space or linear-attention block of
equal width, whose time per token does not depend on the length. Mamba-2's scan is as fast at 2,000 tokens and 6 times
as fast at 16,000 (Dao and Gu 2024, arXiv 2405.21060, Figure 10). Estimate, 2,000 to 2,700."""


class Split(NamedTuple):
    """Degrees and choices that determine the time of a layer."""

    tensor: int
    context: int
    expert: int
    micro_batch: int
    recompute: Recompute
    sequence_parallel: bool


class Product(NamedTuple):
    """One or several products of equal size: tokens x inner by inner x outer."""

    tokens: float
    inner: float
    outer: float
    experts: float = 0
    """Local experts whose products run as one grouped kernel; 0 is a single product."""
    recomputed: bool = False
    """Whether selective recompute runs it again, as it does MLA's up-projections."""

    def frozen(self, part: Part) -> FrozenProduct:
        """Return the product as one with a frozen matrix that has an adapter."""
        return FrozenProduct(self.tokens, self.inner, self.outer, self.experts or 1, part)


@dataclass(frozen=True, slots=True)
class LayerTime:
    """Seconds of one micro-batch in one layer of one rank."""

    matmul_forward: float = 0.0
    matmul_input: float = 0.0
    """Products of the backward pass for the gradients of inputs."""
    matmul_weight: float = 0.0
    """Products of the backward pass for the gradients of weights; 0 where weights are frozen."""
    attention_forward: float = 0.0
    attention_backward: float = 0.0
    elementwise_forward: float = 0.0
    elementwise_backward: float = 0.0
    recompute: float = 0.0
    adapters_forward: float = 0.0
    adapters_backward: float = 0.0
    dequantize_forward: float = 0.0
    dequantize_backward: float = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of all kernels, forward and backward."""
        total: float = sum(getattr(self, part) for part in self.__slots__)
        return total


class ProductsTime(NamedTuple):
    """Seconds of all products of a layer."""

    forward: float
    inputs: float
    weights: float
    recomputed: float
    """Seconds of the products that selective recompute runs again."""


@dataclass(frozen=True, slots=True)
class LayerTimer:
    """Times layers of one model on one kind of GPU."""

    rates: KernelRates
    hidden: int
    sequence_length: int
    flash_attention: bool
    recomputed_products: float = 0.0
    """Share of all products that selective recompute runs again, in addition to cheap operations."""
    gradient_bytes: float = 4
    """Bytes of a weight's gradient, which is read and written for every micro-batch."""
    adapters: AdapterTimer | None = None
    """Times the adapters of frozen weights; None where the weights are trained."""
    eager: bool | None = None
    """Whether layers run in eager PyTorch; None: as the usual framework for the layout does."""
    profiles: dict[int, LayerProfile] = field(default_factory=dict)
    products: dict[tuple[int, int, int, int, int], ProductsTime] = field(default_factory=dict)

    def time(self, group: LayerGroup, split: Split) -> LayerTime:
        """Return the time of one layer; backward products are forward products with transposed operands."""
        tokens = split.micro_batch * self.sequence_length / split.context
        rates = self.rates
        beside = AdapterTime() if self.adapters is None else self.adapters.time(self._sides(group, split, tokens))
        forward, inputs, weights, again = self._products_s(group, split, tokens)
        attention_forward, attention_backward = self._attention(group.attention, split, tokens)
        forward_bytes, backward_bytes, cheap_bytes = self._moved_bytes(group, split)
        starts = self._starts_s(group)
        if self._eager(split):
            more = tuple((EAGER_KERNELS - 1) * KERNEL_START_S * n for n in SMALL_KERNELS[rates.value_bytes])
            if self.adapters is None:
                starts = starts[0] + more[0], starts[1] + more[1]
            else:
                beside = beside.slower(*more)
        elementwise_forward = rates.streaming_s(tokens * forward_bytes) + starts[0]
        recompute, expansions = 0.0, 1
        if split.recompute == "full":
            recompute, expansions = forward + attention_forward + elementwise_forward + beside.forward, 2
        elif split.recompute == "selective":
            recompute = again + rates.streaming_s(tokens * cheap_bytes) if self.flash_attention else attention_forward
            recompute += self.recomputed_products * (forward - again)
        return LayerTime(
            matmul_forward=forward,
            matmul_input=inputs,
            matmul_weight=weights,
            attention_forward=attention_forward,
            attention_backward=attention_backward,
            elementwise_forward=elementwise_forward,
            elementwise_backward=rates.streaming_s(tokens * backward_bytes) + starts[1],
            recompute=recompute,
            adapters_forward=beside.forward,
            adapters_backward=beside.backward,
            dequantize_forward=beside.dequantize,
            dequantize_backward=expansions * beside.dequantize,
        )

    def head(self, vocabulary: int, split: Split) -> LayerTime:
        """Return the time of output projection and loss, with logits in 16 bits, softmax and gradient in fp32."""
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

    def _products_s(self, group: LayerGroup, split: Split, tokens: float) -> ProductsTime:
        """Return the time of all products, memoised: recompute and sequence parallelism do not change it."""
        key = (id(group), split.tensor, split.context, split.expert, split.micro_batch)
        known = self.products.get(key)
        if known is not None:
            return known
        rates = self.rates
        forward = inputs = weights = again = 0.0
        for product in self._products(group, split, tokens):
            rows, inner, outer, experts, recomputed = product
            once = rates.product_s(rows, inner, outer, experts=experts)
            forward += once
            inputs += rates.product_s(rows, outer, inner, experts=experts)
            if self.adapters is None:
                weights += rates.product_s(inner, rows, outer, 2 * self.gradient_bytes, experts)
            if recomputed:
                again += once
        self.products[key] = ProductsTime(forward, inputs, weights, again)
        return self.products[key]

    def _products(self, group: LayerGroup, split: Split, tokens: float) -> Iterator[Product]:
        yield from _attention_products(group.attention, split.tensor, tokens)
        yield from _feed_forward_products(group.feed_forward, self.hidden, split, tokens)

    def _sides(self, group: LayerGroup, split: Split, tokens: float) -> Iterator[FrozenProduct]:
        for product in _attention_products(group.attention, split.tensor, tokens):
            yield product.frozen("attention")
        block = group.feed_forward
        dense = replace(block, experts=0, experts_per_token=0)
        for product in _feed_forward_products(dense, self.hidden, split, tokens):
            yield product.frozen("feed_forward")
        # The router comes first and has no adapter.
        routed = replace(block, intermediate_size=0)
        for product in list(_feed_forward_products(routed, self.hidden, split, tokens))[1:]:
            yield product.frozen("experts")

    def _attention(self, attention: Attention, split: Split, tokens: float) -> tuple[float, float]:
        """(forward, backward): context parallelism shares the work evenly (zigzag order of blocks)."""
        per_context = attention.score_flops_per_context_token / split.tensor
        length, rates = self.sequence_length, self.rates
        if attention.recurrent:
            width = attention.heads / split.tensor * attention.value_dim
            once = rates.scan_s(tokens * 4 * width * SCAN_WINDOW / 2, SCAN_WINDOW)
            return once, FLASH_BACKWARD * once
        if not per_context:
            return 0.0, 0.0
        if self.flash_attention:
            window = min(attention.window or length, length)
            visible = window * (1 - window / (2 * length))
            once = rates.attention_s(tokens * per_context * visible, window, attention.head_dim)
            return once, FLASH_BACKWARD * once
        # Without FlashAttention every token is multiplied with the whole sequence, although the mask drops half of it.
        flops = tokens * per_context * length
        products = flops * (1 + rates.half_depth / attention.head_dim) / rates.head_flops_per_s
        scores = attention.score_heads / split.tensor * tokens * length
        forward, backward = (products * passes for passes in (1, 2))
        return (
            forward + rates.streaming_s(scores * SCORE_BYTES[0]),
            backward + rates.streaming_s(scores * SCORE_BYTES[1]),
        )

    def _profile(self, group: LayerGroup) -> LayerProfile:
        """Return the 16-bit profile of a group, by its identity: the groups outlive the timer."""
        if id(group) not in self.profiles:
            self.profiles[id(group)] = layer_profile(group, self.hidden)
        return self.profiles[id(group)]

    def _eager(self, split: Split) -> bool:
        """Return whether a layer runs in eager PyTorch.

        Unless the spec names the framework, adapters do where PEFT can train them: in 16 bits and without tensor or
        context parallelism.
        """
        if self.eager is not None:
            return self.eager
        return self.adapters is not None and self.rates.value_bytes >= BF16_BYTES and split.tensor * split.context == 1

    def _starts_s(self, group: LayerGroup) -> tuple[float, float]:
        """Return the seconds of a layer's small kernels that do not depend on its tokens, (forward, backward)."""
        routing = ROUTING_S if group.feed_forward.experts else (0.0, 0.0)
        forward, backward = SMALL_KERNELS[self.rates.value_bytes]
        return KERNEL_START_S * forward + routing[0], KERNEL_START_S * backward + routing[1]

    def _moved_bytes(self, group: LayerGroup, split: Split) -> tuple[float, float, float]:
        """Return the memory traffic of a token without products in bytes: forward, backward, and cheap recompute."""
        layer = self._profile(group)
        residual = layer.replicated_activation_bytes / (split.tensor if split.sequence_parallel else 1)
        copies = 2 * BF16_BYTES * layer.expert_tokens * self.hidden / split.tensor
        inner = layer.sharded_activation_bytes / split.tensor - copies
        casts = CAST_PASSES[self.rates.value_bytes]
        eager = EAGER_PASSES if self._eager(split) else 1.0
        forward, backward = (
            residual * (eager * RESIDUAL_PASSES[way] + casts)
            + inner * (eager * INNER_PASSES[way] + casts)
            + copies * (COPY_PASSES[way] + casts + PADDING_PASSES[self.rates.value_bytes])
            for way in (0, 1)
        )
        block = group.feed_forward
        again = 0.0
        if block.expert_bias:
            width, copies_out = block.expert_intermediate_size, layer.expert_tokens / split.tensor
            extra = [copies_out * (bias * self.hidden + clamp * width) for bias, clamp in BIASED_EXPERT_BYTES]
            forward, backward = forward + extra[0], backward + extra[1]
            again = copies_out * BIASED_EXPERT_BYTES[0][1] * width
        cheap_residual = layer.cheap_replicated_activation_bytes / (split.tensor if split.sequence_parallel else 1)
        cheap_inner = layer.cheap_sharded_activation_bytes / split.tensor
        # Recompute passes twice over the output of a norm, which reads and writes it, and three times over that of an
        # activation function, which reads two values.
        return forward, backward, 2 * cheap_residual + 3 * cheap_inner + again


def _attention_products(attention: Attention, tensor: int, tokens: float) -> Iterator[Product]:
    """Projections of the block. A rank works on the mean of heads and on at least one key/value head."""
    share = RankShare(attention.heads / tensor, max(attention.kv_heads / tensor, 1), tensor, whole_columns=False)
    for inputs, outputs, recomputed in attention.products(share, fuses_whole=False):
        yield Product(tokens, inputs, outputs, recomputed=recomputed)


def _feed_forward_products(feed_forward: FeedForward, hidden: int, split: Split, tokens: float) -> Iterator[Product]:
    """Yield the products of a dense or shared block and of the routed experts.

    Tensor parallelism divides dense and shared blocks. Experts lie on tensor x expert ranks, undivided where there are
    at least as many experts as ranks. Routing is assumed to be balanced: every rank receives as many copies as it
    sends.
    """
    up = feed_forward.up_matrices
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
        yield Product(rows, hidden, up * width, experts=local)
        yield Product(rows, width, hidden, experts=local)
