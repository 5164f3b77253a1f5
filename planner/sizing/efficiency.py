"""Share of a data sheet's figure that real kernels reach, by GPU generation, number format and shape.

The rates of matrix products and of attention were fitted to isolated kernels that NVIDIA measured and publishes with
its open-source performance model (AIConfigurator, aiconfigurator-core 0.12.0, TensorRT-LLM tables: 9,240 bf16 products
on A100, 35,700 on each of H100, B200 and L40S, of which those with all sides of at least 512). No training run went
into them. Tile and wave quantization was tried beside them and left out: cuBLAS picks tiles by shape, and with either
term the error of large products grew (A100 3 to 5 %, H100 4 to 8 % in the median).
"""

from dataclasses import dataclass
from typing import Final

from provider_catalog.hardware import Gpu
from provider_catalog.precision import BITS_PER_VALUE, Precision

MEMORY_BANDWIDTH_EFFICIENCY = 0.80
"""Share of the memory bandwidth that streaming kernels reach. Estimate, 0.75 to 0.9."""


@dataclass(frozen=True, slots=True)
class MatrixRate:
    """Rate of matrix products: peak · share / (1 + half_depth / inner), after a start of `start_s`."""

    share: float
    """Share of the peak that is reached with an endless inner dimension."""
    half_depth: float
    """Inner dimension at which half of that share is reached, because the pipeline of a tile fills and drains."""
    start_s: float = 4e-6


@dataclass(frozen=True, slots=True)
class AttentionRate:
    """Rate of fused attention: peak · share / (1 + half_tokens / tokens attended to)."""

    share: float
    half_tokens: float


MATRIX_RATES: Final[dict[str, dict[str, MatrixRate]]] = {
    # Median error over products of at least 1e11 FLOP: 2 %, 4 %, 8 %, 5 %, 11 %, 7 %, 7 %. The start of 8-bit products
    # was 14 to 35 us there, most of it the cast of their input, which is counted with what moves data.
    "Ampere": {"16-bit": MatrixRate(0.845, 51, 6e-6)},
    "Hopper": {"16-bit": MatrixRate(0.774, 45, 4e-6), "8-bit": MatrixRate(0.652, 45, 8e-6)},
    # 4 bits: the share of the same tables' nvfp4 products that serving plans with (0.46) times what training reaches
    # of the 8-bit ones there (0.568 of 0.62). Estimate, 0.35 to 0.5.
    "Blackwell": {
        "16-bit": MatrixRate(0.669, 45, 4e-6),
        "8-bit": MatrixRate(0.568, 45, 8e-6),
        "4-bit": MatrixRate(0.42, 45, 8e-6),
    },
    "Ada Lovelace": {"16-bit": MatrixRate(0.568, 45, 4e-6), "8-bit": MatrixRate(0.485, 45, 8e-6)},
    # Not in those tables. About 620 of 1307 TFLOP/s in bf16 and 990 of 2615 in fp8 (SemiAnalysis, MI300X vs H100 vs
    # H200 Benchmark Part 1: Training, December 2024). Estimates, 0.4 to 0.6 and 0.3 to 0.45.
    "CDNA3": {"16-bit": MatrixRate(0.48, 100), "8-bit": MatrixRate(0.38, 100)},
    "CDNA2": {"16-bit": MatrixRate(0.50, 100)},
}
GROUPED_RATES: Final[dict[str, dict[str, tuple[float, float]]]] = {
    # (rate over that of a single product, start in seconds) of the products of several experts in one kernel: grouped
    # over dense shares of the same tables, as serving plans with them, by generation and width.
    "Hopper": {"16-bit": (1.0, 32e-6), "8-bit": (0.76, 32e-6)},
    "Blackwell": {"16-bit": (1.0, 23e-6), "8-bit": (0.77, 28e-6), "4-bit": (1.0, 15e-6)},
}
UNKNOWN_GROUPED: Final = (0.8, 30e-6)
"""Grouped rates of a generation or format without a measurement. Estimate, 0.6 to 1."""
LIKE: Final = {"Blackwell Ultra": "Blackwell"}
"""Generations that use the rates of another one."""
UNKNOWN_RATE: Final = MatrixRate(0.5, 100)
"""Rate of a generation or format without a measurement. Estimate, 0.4 to 0.8."""

ATTENTION_RATES: Final[dict[str, dict[int, AttentionRate]]] = {
    # By version of FlashAttention, forward and backward together, causal, heads of 128. Shares: FlashAttention-2 (arXiv
    # 2307.08691, Figure 4: 189 of 312 TFLOP/s at 16k on A100; about 300 on H100) and FlashAttention-3 (arXiv
    # 2407.08608, Figures 5 and 6). Version 1 and its Triton kernel: read off the same plots and not held against their
    # data, 0.3 to 0.45 and 0.15 to 0.25. Dependence on length, and Blackwell and Ada: the prefill kernels of the tables
    # named above.
    "Ampere": {1: AttentionRate(0.40, 660), 2: AttentionRate(0.62, 660)},
    "Hopper": {1: AttentionRate(0.20, 740), 2: AttentionRate(0.32, 740), 3: AttentionRate(0.61, 740)},
    "Blackwell": {4: AttentionRate(0.55, 1500)},
    # Twice the exponentials a second of Blackwell (10.7 of 5 T/s), which bound attention there as much as products do
    # (FlashAttention-4, arXiv 2603.05451). Estimate, 0.55 to 0.8.
    "Blackwell Ultra": {4: AttentionRate(0.68, 1500)},
    "Ada Lovelace": {1: AttentionRate(0.25, 700), 2: AttentionRate(0.42, 700)},
    "CDNA3": {2: AttentionRate(0.30, 1350)},
    "CDNA2": {2: AttentionRate(0.30, 660)},
}
SCAN_RATES: Final = {"Blackwell": AttentionRate(0.32, 1500)}
"""FlashAttention-2's rate, by which scans of state-space blocks are counted, on a generation that its kernels were not
written for. It is the rate of the generation before. Estimate, 0.2 to 0.4."""
UNKNOWN_ATTENTION: Final = AttentionRate(0.3, 1000)
NARROW_HEAD_SHARE: Final = 0.83
"""Rate of heads of size 64 over that of size 128, because softmax costs twice as much; from the same tables (437 of 524
TFLOP/s, H100)."""

SUSTAINED: Final = {
    "Ampere": {"16-bit": 0.90},
    "Hopper": {"16-bit": 0.86, "8-bit": 0.98},
    "Blackwell": {"16-bit": 0.95, "8-bit": 1.0},
    # The kernels were measured on B200, limited to 1,000 W: this part's limit is 1,400, B300's 1,100.
    "GB300": {"16-bit": 0.95, "8-bit": 1.2},
}
"""Rate in a training run over that of the isolated kernel: clocks under the power limit, and all unmodelled losses.

These are the only numbers that are calibrated on training runs: one per generation and width, and one for a part with
another power limit. All 94 runs of docs/training.md are fitted together; the leave-one-out error beside each run is the
error of a fit without its family. Hopper's 8-bit rate lies 3 % above that fit, half of the way to the MLPerf runs of
tests/data/training_e2e.yaml, whose software is tuned further. Range 0.8 to 1.25; 1 where no run is known.
"""

REFERENCE_HEADROOM: Final = 0.30
"""Compute headroom at which the rates hold as measured. A plan with more headroom is slower in proportion."""


@dataclass(frozen=True, slots=True)
class KernelRates:
    """Seconds of the kernels of a training step on one GPU."""

    flops_per_s: float
    """Rate of the format that the products of the layers run in, for an endless inner dimension."""
    half_depth: float
    start_s: float
    head_flops_per_s: float
    """Rate of the format that the output projection runs in, which has at least 16 bits."""
    attention_flops_per_s: float
    half_tokens: float
    scan_flops_per_s: float
    """Rate of the scan of a state-space block, counted as attention over a window."""
    scan_half_tokens: float
    bytes_per_s: float
    grouped_share: float
    """Rate of grouped products over that of single ones."""
    grouped_start_s: float
    value_bytes: float
    """Bytes of one operand value of a product; formats wider than 16 bits are counted as 16."""

    @classmethod
    def of(
        cls, gpu: Gpu, precision: Precision, headroom: float = REFERENCE_HEADROOM, attention_version: int | None = None
    ) -> "KernelRates":
        """Rates of a GPU.

        Args:
            gpu: The GPU.
            precision: format of the products inside the layers; attention and output projection take 16 bits.
            headroom: share of the peak that the plan keeps free.
            attention_version: Version of FlashAttention. None, or a version that the GPU does not have, means the
                newest that it has.
        """
        generation = LIKE.get(gpu.generation, gpu.generation)
        rates = MATRIX_RATES.get(generation, {})
        wide = rates.get("16-bit", UNKNOWN_RATE)
        bits = BITS_PER_VALUE[precision]
        narrow = bits < 16
        width = f"{bits}-bit" if narrow else "16-bit"
        rate = rates.get(width, UNKNOWN_RATE) if narrow else wide
        attention = _attention_rate(gpu.generation, attention_version)
        scan = SCAN_RATES.get(generation) or _attention_rate(generation, 2)
        grouped_share, grouped_start_s = GROUPED_RATES.get(generation, {}).get(width, UNKNOWN_GROUPED)
        kept = min(1.0, (1 - headroom) / (1 - REFERENCE_HEADROOM))
        sustained = SUSTAINED.get(gpu.name, SUSTAINED.get(generation, {}))
        wide_slower = kept * sustained.get("16-bit", 1.0)
        slower = kept * sustained.get(width, 1.0) if narrow else wide_slower
        peak = gpu.peak_tflops[precision] * 1e12
        wide_peak = gpu.peak_tflops.get("bf16", gpu.peak_tflops.get("fp16", peak / 1e12)) * 1e12
        if not narrow:
            wide_peak = peak
        return cls(
            flops_per_s=peak * rate.share * slower,
            half_depth=rate.half_depth,
            start_s=rate.start_s,
            head_flops_per_s=wide_peak * wide.share * wide_slower,
            attention_flops_per_s=wide_peak * attention.share * wide_slower,
            half_tokens=attention.half_tokens,
            scan_flops_per_s=wide_peak * scan.share * wide_slower,
            scan_half_tokens=scan.half_tokens,
            bytes_per_s=memory_bytes_per_s(gpu),
            grouped_share=grouped_share,
            grouped_start_s=grouped_start_s,
            value_bytes=min(bits, 16) / 8,
        )

    def product_s(
        self, rows: float, inner: float, columns: float, written_bytes: float = 2, experts: float = 0
    ) -> float:
        """Seconds of a product [rows x inner] x [inner x columns]: the slower of arithmetic and memory, plus its start.

        Args:
            rows: Rows of the result.
            inner: Dimension that is summed over.
            columns: Columns of the result.
            written_bytes: Bytes per value of the result: 2, or 8 where fp32 gradients are read and written back.
            experts: Products of this shape in one grouped kernel; 0 is a single product.
        """
        arithmetic_s = 2 * rows * columns * (inner + self.half_depth) / self.flops_per_s
        moved = self.value_bytes * inner * (rows + columns) + written_bytes * rows * columns
        if not experts:
            return max(arithmetic_s, moved / self.bytes_per_s) + self.start_s
        return experts * max(arithmetic_s / self.grouped_share, moved / self.bytes_per_s) + self.grouped_start_s

    def head_s(self, flops: float) -> float:
        """Seconds of the output projection, whose sides are all long."""
        return flops / self.head_flops_per_s

    def attention_s(self, flops: float, tokens: float, head_dim: int) -> float:
        """Seconds of fused attention of `flops` in which each token attends to up to `tokens`."""
        narrow = NARROW_HEAD_SHARE if head_dim < 96 else 1.0
        return flops * (1 + self.half_tokens / tokens) / (self.attention_flops_per_s * narrow)

    def scan_s(self, flops: float, tokens: float) -> float:
        """Seconds of a state-space scan that costs as much as FlashAttention-2 with `flops` over `tokens`."""
        return flops * (1 + self.scan_half_tokens / tokens) / self.scan_flops_per_s

    def streaming_s(self, moved_bytes: float) -> float:
        """Seconds of kernels that move data and hardly compute."""
        return moved_bytes / self.bytes_per_s


def _attention_rate(generation: str, version: int | None) -> AttentionRate:
    versions = ATTENTION_RATES.get(generation)
    if not versions:
        return UNKNOWN_ATTENTION
    newest = max(versions)
    return versions[newest if version is None else min(versions, key=lambda v: (v > version, abs(v - version)))]


def memory_bytes_per_s(gpu: Gpu) -> float:
    """Memory bandwidth that kernels reach."""
    return gpu.memory_bandwidth_gb_per_s * 1e9 * MEMORY_BANDWIDTH_EFFICIENCY


def best_flops_per_s(gpu: Gpu, precision: Precision, headroom: float) -> float:
    """Rate that no mix of kernels exceeds: a bound for the search."""
    rates = KernelRates.of(gpu, precision, headroom)
    return max(rates.flops_per_s, rates.head_flops_per_s, rates.attention_flops_per_s)
