"""Fitted kernel constants of each GPU generation, which the analytic serving engine uses.

Each line is a least-squares fit with a robust loss. It fits the formula in kernels.py or collective_times.py to kernel
times that NVIDIA's aiconfigurator-core 0.12.0 (Apache-2.0) interpolates from its measurements of TensorRT-LLM, vLLM and
SGLang kernels. A fit uses up to 1500 times of one kind of kernel and one generation: tensor- and expert-parallel
degrees 1 to 8, batches 1 to 256, prompts of 128 to 32768 tokens. Weight-only experts were fitted on gpt-oss, all other
kernels on models of several families. No constant belongs to a model, a batch or a backend.
`python -m benchmarks.calibrate_inference` repeats the fit on a smaller grid and prints how well it predicts models that
were left out; docs/inference.md has the spread.

Published runs of servers (tests/data/serving_e2e.csv) correct the fits where several of them agree that the kernels of
an engine are not those of the package. Each such line says so; `python -m benchmarks.accuracy_e2e serving` judges them
with one source left out after the other.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

from planner.serving.collective_times import CollectiveRates
from planner.serving.kernels import AttentionRates, GemmRates, GroupedRates
from provider_catalog.hardware import Gpu
from provider_catalog.precision import BITS_PER_VALUE, Precision

Format = Literal["16-bit", "8-bit", "4-bit", "weight-only"]
"""Operands of a product; weight-only: weights of fewer bits that are widened to 16 bits before the product."""


@dataclass(frozen=True, slots=True)
class GenerationRates:
    """Fitted constants of the serving kernels on one GPU generation."""

    gemms: dict[Format, GemmRates]
    groups: dict[Format, GroupedRates]
    attention: AttentionRates
    collectives: CollectiveRates
    measured: bool = True
    """False where no kernels of the generation were measured and the constants are those of another one."""

    def gemm(self, weights: Precision, arithmetic: Precision) -> GemmRates:
        """Return the constants of a product, by weight format and arithmetic."""
        kind = format_of(weights, arithmetic)
        return self.gemms.get(kind) or self.gemms["16-bit"]

    def grouped(self, weights: Precision, arithmetic: Precision) -> GroupedRates:
        """Return the constants of routed experts, by weight format and arithmetic."""
        kind = format_of(weights, arithmetic)
        return self.groups.get(kind) or self.groups["16-bit"]


def format_of(weights: Precision, arithmetic: Precision) -> Format:
    """Return the kind of product, by weight format and arithmetic."""
    bits = BITS_PER_VALUE[arithmetic]
    if bits >= 16:
        return "16-bit" if BITS_PER_VALUE[weights] >= 16 else "weight-only"
    return "8-bit" if bits == 8 else "4-bit"


_WEIGHT_ONLY = GemmRates(0.80, 0.75, 14.5e-6, 270)
"""Constants that were measured on Ampere and are used for the other generations too."""
# Experts: TensorRT-LLM 0.14 on Mixtral 8x7B and 8x22B reaches twice the fitted share, 0.28. Estimate, 0.45 to 0.65.
_AMPERE = GenerationRates(
    gemms={"16-bit": GemmRates(0.82, 0.74, 5.6e-6, 320), "weight-only": _WEIGHT_ONLY},
    groups={"16-bit": GroupedRates(0.55, 0.73, 60e-6, 1.0, 0.64, 0.0)},
    attention=AttentionRates(0.57, 0.62, 51.5e-6, 0.68, 17.7e-6, 0.4e-9),
    collectives=CollectiveRates(0.58, 4.8e-6, 0.2e-6, 0.66, 15.0e-6),
)
# 8-bit products: fitted 0.42; 0.5 is implied by TensorRT-LLM 0.5 and 0.14 on L40S. Estimate, 0.45 to 0.58. KV cache:
# fitted 1.0, above what any kernel streams; taken as the share of products. Estimate, 0.8 to 0.9.
_ADA = GenerationRates(
    gemms={
        "16-bit": GemmRates(0.55, 0.81, 1.4e-6, 0),
        "8-bit": GemmRates(0.50, 0.82, 4.2e-6, 0),
        "weight-only": _WEIGHT_ONLY,
    },
    groups={
        "16-bit": GroupedRates(0.70, 0.82, 2e-6, 1.48, 0.71, 1.3),
        "8-bit": GroupedRates(0.64, 0.85, 8e-6, 2.09, 0.86, 1.2),
        "weight-only": GroupedRates(0.54, 0.51, 11e-6, 1.92, 1.0, 1.5),
    },
    attention=AttentionRates(0.52, 1.0, 47.0e-6, 0.85, 9.5e-6, 0.0),
    collectives=CollectiveRates(0.96, 4.1e-6, 1.9e-6, 0.87, 18.6e-6),
)
# 8-bit experts: fitted 0.50 with an imbalance of 1.49; on Mixtral, whose experts are tensor-parallel and so balanced,
# TensorRT-LLM 0.14 reaches nearly the share of dense products. Estimate, 0.55 to 0.66.
_HOPPER = GenerationRates(
    gemms={
        "16-bit": GemmRates(0.75, 0.83, 3.7e-6, 0),
        "8-bit": GemmRates(0.66, 0.75, 6.0e-6, 1100),
        "weight-only": _WEIGHT_ONLY,
    },
    groups={
        "16-bit": GroupedRates(0.80, 0.94, 32e-6, 1.17, 0.89, 2.3),
        "8-bit": GroupedRates(0.62, 0.89, 32e-6, 1.9, 0.62, 2.6),
        "weight-only": GroupedRates(0.41, 0.55, 58e-6, 1.66, 1.0, 0.7),
    },
    attention=AttentionRates(0.67, 0.57, 51.3e-6, 0.79, 12.6e-6, 0.1e-9),
    collectives=CollectiveRates(0.65, 2.8e-6, 0.1e-6, 0.71, 12.4e-6, 0.52),
)
# 4-bit experts: fitted 0.90, twice the share of the largest dense products; taken as theirs. Estimate, 0.35 to 0.55.
_BLACKWELL = GenerationRates(
    gemms={
        "16-bit": GemmRates(0.69, 0.74, 3.5e-6, 0),
        "8-bit": GemmRates(0.62, 0.65, 6.9e-6, 870),
        "4-bit": GemmRates(0.46, 0.60, 7.3e-6, 590),
        "weight-only": _WEIGHT_ONLY,
    },
    groups={
        "16-bit": GroupedRates(0.90, 0.89, 23e-6, 0.97, 0.70, 3.0),
        "8-bit": GroupedRates(0.48, 0.77, 28e-6, 1.63, 0.54, 3.8),
        "4-bit": GroupedRates(0.46, 0.75, 15e-6, 1.45, 1.0, 2.4),
        "weight-only": GroupedRates(0.31, 0.52, 19e-6, 1.60, 1.0, 4.0),
    },
    attention=AttentionRates(0.62, 0.44, 49.3e-6, 0.99, 10.3e-6, 0.2e-9),
    collectives=CollectiveRates(0.56, 4.7e-6, 0.1e-6, 0.61, 15.9e-6, 0.38),
)
# CDNA3 has no kernels in the package. Products reach 45 % of the peak and streams 81 % of the bandwidth (Ambati et al.,
# arXiv 2510.27583), AMD's best matrix sizes 54 % (ROCm blog, "Measuring Max-Achievable FLOPs", part 2). Attention and
# experts: Hopper's shares lowered in the same proportion, experts further, because vLLM and SGLang use untuned Triton
# kernels unless AITER is switched on. Estimates: a factor of 1.5 either way; of 3 for experts, with AITER or without.
_CDNA3 = GenerationRates(
    gemms={
        "16-bit": GemmRates(0.48, 0.78, 5e-6, 0),
        "8-bit": GemmRates(0.42, 0.70, 7e-6, 1100),
        "weight-only": _WEIGHT_ONLY,
    },
    groups={
        "16-bit": GroupedRates(0.40, 0.65, 48e-6, 1.17, 0.89, 2.3),
        "8-bit": GroupedRates(0.32, 0.58, 48e-6, 1.49, 0.62, 2.6),
        "weight-only": GroupedRates(0.28, 0.45, 80e-6, 1.66, 1.0, 0.7),
    },
    attention=AttentionRates(0.40, 0.52, 60e-6, 0.72, 15e-6, 0.1e-9),
    collectives=CollectiveRates(0.55, 8e-6, 0.1e-6, 0.60, 18e-6),
    measured=False,
)
RATES: Final[dict[str, GenerationRates]] = {
    "Ampere": _AMPERE,
    "Ada Lovelace": _ADA,
    "Hopper": _HOPPER,
    "Blackwell": _BLACKWELL,
    "CDNA3": _CDNA3,
    "Blackwell Ultra": _BLACKWELL,
}
UNMEASURED: Final = replace(_HOPPER, measured=False)
"""Constants for generations without measured kernels: those of Hopper."""


def rates_of(gpu: Gpu) -> GenerationRates:
    """Return the kernel constants of a GPU's generation."""
    return RATES.get(gpu.generation, UNMEASURED)
