"""Time of one kernel on one GPU: the data sheet's roofline with what kernels of each kind reach of it.

Roofline: Williams et al. 2009, "Roofline: an insightful visual performance model", Communications of the ACM 52(4).
All sizes are those of one GPU, after the model is split; all times are seconds.
"""

from dataclasses import dataclass

BF16_BYTES = 2
ELEMENTWISE_MEMORY_SHARE = 0.8
"""Of the memory bandwidth, by norms, activations and casts. Estimate, 0.75 to 0.9."""
REBALANCED_IMBALANCE = 0.2
"""How much more than its share the busiest rank gets where busy experts have copies: DeepSeek-V3, arXiv 2412.19437,
section 3.4, deploys them and states no figure. Estimate, 0.1 to 0.4."""
ELEMENTWISE_LAUNCH_S = 3e-6
"""Start and tail of such a kernel inside a CUDA graph. Estimate, 2 to 4 us."""


@dataclass(frozen=True, slots=True)
class GemmRates:
    """What matrix multiplications in one format reach."""

    compute_share: float
    """Of the dense peak, by a large product."""
    memory_share: float
    """Of the memory bandwidth, by a product of few rows, which streams the weights."""
    launch_s: float
    narrow_columns: float
    """Output columns at which half of the compute rate is lost to tiles that are not full."""


@dataclass(frozen=True, slots=True)
class GroupedRates:
    """What the grouped products of a mixture of experts reach, routing and permutation included."""

    compute_share: float
    memory_share: float
    launch_s: float
    imbalance: float
    """How much more than its even share the busiest of many expert-parallel ranks gets."""
    serial_share: float
    """Of the shorter one of compute and weight reads, the part that does not hide behind the longer one: experts with
    few rows fill no tile."""
    traffic: float
    """Passes over the routed activations that permutation, activation and combination make."""


@dataclass(frozen=True, slots=True)
class AttentionRates:
    """What attention kernels reach: prefill by FlashAttention, decode by split-KV kernels."""

    compute_share: float
    memory_share: float
    launch_s: float
    cache_share: float
    """Of the memory bandwidth, when decode reads the cache."""
    decode_launch_s: float
    context_s: float
    """Per token of context: a single sequence does not fill the GPU, however its cache is split."""


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU as its kernels see it."""

    bytes_per_s: float
    flops_16_bit: float
    """Dense peak on 16-bit operands, in which attention and unquantized matrices run."""


@dataclass(frozen=True, slots=True)
class Gemm:
    """A product with a weight matrix of `inputs` x `outputs`."""

    inputs: int
    outputs: int
    weight_bytes: float
    """Of one value, scales included."""
    activation_bytes: float
    """Of one operand value as the kernel reads it; below 16 bits it is quantized first."""
    peak_flops: float
    rates: GemmRates

    def on(self, device: Device) -> "RowCost":
        """Its time on a GPU, as a function of the rows."""
        rates, streaming = self.rates, device.bytes_per_s * self.rates.memory_share
        compute = 2 * self.inputs * self.outputs / (self.peak_flops * rates.compute_share)
        quantize = 0.0
        if self.activation_bytes < BF16_BYTES:
            moved = self.inputs * (BF16_BYTES + self.activation_bytes)
            quantize = moved / (device.bytes_per_s * ELEMENTWISE_MEMORY_SHARE)
        return RowCost(
            launch_s=rates.launch_s,
            compute_s=compute * (1 + rates.narrow_columns / self.outputs),
            weights_s=self.inputs * self.outputs * self.weight_bytes / streaming,
            operands_s=(self.inputs * self.activation_bytes + self.outputs * BF16_BYTES) / streaming,
            quantize_s=quantize,
        )


@dataclass(frozen=True, slots=True)
class RowCost:
    """Time of one product on one GPU; all but launch and weights are for each row."""

    launch_s: float
    compute_s: float
    weights_s: float
    operands_s: float
    quantize_s: float

    def seconds(self, rows: float) -> float:
        """Time for `rows` tokens."""
        compute, memory = rows * self.compute_s, self.weights_s + rows * self.operands_s
        return self.launch_s + (compute if compute > memory else memory) + rows * self.quantize_s


@dataclass(frozen=True, slots=True)
class GroupedGemm:
    """The routed experts of one layer, evenly over `ranks` expert-parallel ranks."""

    hidden: int
    width: int
    """Of one expert on this GPU."""
    matrices: int
    experts: int
    experts_per_token: int
    ranks: int
    weight_bytes: float
    peak_flops: float
    rates: GroupedRates
    rebalanced: bool = False
    """Whether copies of busy experts even out the load: wide expert parallelism."""

    def touched_experts(self, tokens: float) -> float:
        """Experts of one rank that at least one of `tokens` evenly routed tokens chose: (E/r)·(1-(1-k/E)^n)."""
        untouched: float = (1 - self.experts_per_token / self.experts) ** max(tokens, 1)
        return self.experts / self.ranks * (1 - untouched)

    def seconds(self, tokens: float, device: Device) -> float:
        """Time on the busiest rank for `tokens` tokens over all ranks."""
        rates = self.rates
        expert = self.matrices * self.hidden * self.width
        imbalance = REBALANCED_IMBALANCE if self.rebalanced else rates.imbalance
        routed = tokens * self.experts_per_token / self.ranks * (1 + imbalance * (1 - 1 / self.ranks))
        compute = 2 * routed * expert / (self.peak_flops * rates.compute_share)
        weights = self.touched_experts(tokens) * expert * self.weight_bytes
        memory = weights / (device.bytes_per_s * rates.memory_share)
        moved = routed * (2 * self.hidden + self.matrices * self.width) * BF16_BYTES
        traffic = rates.traffic * moved / (device.bytes_per_s * ELEMENTWISE_MEMORY_SHARE)
        return rates.launch_s + max(compute, memory) + rates.serial_share * min(compute, memory) + traffic


def elementwise_s(moved_bytes: float, device: Device) -> float:
    """A kernel that reads and writes `moved_bytes` and computes next to nothing."""
    return ELEMENTWISE_LAUNCH_S + moved_bytes / (device.bytes_per_s * ELEMENTWISE_MEMORY_SHARE)


def prefill_attention_s(flops: float, moved_bytes: float, rates: AttentionRates, device: Device) -> float:
    """Attention of new tokens among themselves and to what is cached."""
    compute = flops / (device.flops_16_bit * rates.compute_share)
    return rates.launch_s + compute + moved_bytes / (device.bytes_per_s * rates.memory_share)


def decode_attention_s(
    flops: float, cache_bytes: float, context_tokens: float, rates: AttentionRates, device: Device
) -> float:
    """Attention of the latest token of each sequence to its cache.

    Heads that share a cache entry reuse it: with many of them (latent attention) compute bounds it, not the reads.
    """
    reads = cache_bytes / (device.bytes_per_s * rates.cache_share)
    compute = flops / (device.flops_16_bit * rates.compute_share)
    return rates.decode_launch_s + max(reads, compute) + context_tokens * rates.context_s
