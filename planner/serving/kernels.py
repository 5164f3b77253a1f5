"""Time of one kernel on one GPU: the roofline of the data sheet, times the share that kernels of its kind attain.

Roofline: Williams et al. 2009, "Roofline: an insightful visual performance model", Communications of the ACM 52(4).
All sizes are those of one GPU, after the model is split; all times are in seconds.
"""

from dataclasses import dataclass

BF16_BYTES = 2
ELEMENTWISE_MEMORY_SHARE = 0.8
"""Share of the memory bandwidth that norms, activations and casts attain. Estimate, 0.75 to 0.9."""
REBALANCED_IMBALANCE = 0.2
"""Extra tokens of the busiest expert-parallel rank over the mean, where busy experts are replicated. DeepSeek-V3 (arXiv
2412.19437, section 3.4) replicates experts and states no figure. Estimate, 0.1 to 0.4."""
ELEMENTWISE_LAUNCH_S = 3e-6
"""Start and tail of an elementwise kernel inside a CUDA graph. Estimate, 2 to 4 us."""


@dataclass(frozen=True, slots=True)
class GemmRates:
    """Fitted constants of matrix multiplications in one format."""

    compute_share: float
    """Share of the dense peak that a large product attains."""
    memory_share: float
    """Share of the memory bandwidth that a product of few rows attains; it streams the weights."""
    launch_s: float
    """Time of an empty product."""
    narrow_columns: float
    """Output columns at which partly filled tiles halve the compute rate."""


@dataclass(frozen=True, slots=True)
class GroupedRates:
    """Fitted constants of the grouped products in a mixture of experts, routing and permutation included."""

    compute_share: float
    """Share of the dense peak that large grouped products attain."""
    memory_share: float
    """Share of the memory bandwidth at which weights are read."""
    launch_s: float
    """Time of empty products, routing included."""
    imbalance: float
    """Extra tokens of the busiest of many expert-parallel ranks over the mean."""
    serial_share: float
    """Compute and weight reads overlap only in part, because experts with few rows fill no tile: this share of the
    shorter one is not hidden."""
    traffic: float
    """Times that permutation, activation and combination pass over the routed activations."""


@dataclass(frozen=True, slots=True)
class AttentionRates:
    """Fitted constants of attention kernels: FlashAttention for prefill, split-KV kernels for decode."""

    compute_share: float
    """Share of the dense 16-bit peak that prefill attains."""
    memory_share: float
    """Share of the memory bandwidth that prefill attains."""
    launch_s: float
    """Time of an empty prefill kernel."""
    cache_share: float
    """Share of the memory bandwidth at which decode reads the KV cache."""
    decode_launch_s: float
    """Time of an empty decode kernel."""
    context_s: float
    """Time per token of context: one sequence does not fill the GPU, however its KV cache is split."""


@dataclass(frozen=True, slots=True)
class Device:
    """Memory bandwidth and 16-bit peak of one GPU."""

    bytes_per_s: float
    """Memory bandwidth of the data sheet."""
    flops_16_bit: float
    """Dense peak on 16-bit operands in FLOP/s; attention and unquantized matrices run in 16 bits."""


@dataclass(frozen=True, slots=True)
class Gemm:
    """A product with a weight matrix of `inputs` x `outputs`."""

    inputs: int
    outputs: int
    weight_bytes: float
    """Bytes of one weight, quantization scales included."""
    activation_bytes: float
    """Bytes of one activation as the kernel reads it; below 16 bits the activations are quantized first."""
    peak_flops: float
    rates: GemmRates

    def on(self, device: Device) -> "RowCost":
        """Return the time on a GPU as a function of the rows."""
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
    """Time of one product on one GPU. `launch_s` and `weights_s` are paid once, the other fields for each row."""

    launch_s: float
    compute_s: float
    weights_s: float
    operands_s: float
    quantize_s: float

    def seconds(self, rows: float) -> float:
        """Return the time for `rows` tokens."""
        compute, memory = rows * self.compute_s, self.weights_s + rows * self.operands_s
        return self.launch_s + (compute if compute > memory else memory) + rows * self.quantize_s


@dataclass(frozen=True, slots=True)
class GroupedGemm:
    """The routed experts of one layer, spread evenly over `ranks` expert-parallel ranks."""

    hidden: int
    width: int
    """Intermediate width of one expert on this GPU."""
    matrices: int
    """Matrices of one expert: 3 where the block is gated, else 2."""
    experts: int
    """Routed experts of the layer over all ranks."""
    experts_per_token: int
    ranks: int
    weight_bytes: float
    peak_flops: float
    rates: GroupedRates
    rebalanced: bool = False
    """Whether busy experts are replicated to balance the load, as in expert parallelism over several nodes."""

    def touched_experts(self, tokens: float) -> float:
        """Return the experts of one rank that at least one token chose, (E/r)·(1-(1-k/E)^n) with even routing."""
        untouched: float = (1 - self.experts_per_token / self.experts) ** max(tokens, 1)
        return self.experts / self.ranks * (1 - untouched)

    def seconds(self, tokens: float, device: Device) -> float:
        """Return the time on the busiest rank for `tokens` tokens of all ranks together."""
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
    """Return the time of a memory-bound kernel that reads and writes `moved_bytes`."""
    return ELEMENTWISE_LAUNCH_S + moved_bytes / (device.bytes_per_s * ELEMENTWISE_MEMORY_SHARE)


def prefill_attention_s(flops: float, moved_bytes: float, rates: AttentionRates, device: Device) -> float:
    """Return the time of attention of new tokens to each other and to cached tokens."""
    compute = flops / (device.flops_16_bit * rates.compute_share)
    return rates.launch_s + compute + moved_bytes / (device.bytes_per_s * rates.memory_share)


def decode_attention_s(
    flops: float, cache_bytes: float, context_tokens: float, rates: AttentionRates, device: Device
) -> float:
    """Return the time of attention of the latest token of each sequence to its KV cache.

    Heads that share a cache entry reuse it. Where many heads share one (latent attention), compute is the bound
    rather than memory bandwidth.
    """
    reads = cache_bytes / (device.bytes_per_s * rates.cache_share)
    compute = flops / (device.flops_16_bit * rates.compute_share)
    return rates.decode_launch_s + max(reads, compute) + context_tokens * rates.context_s
