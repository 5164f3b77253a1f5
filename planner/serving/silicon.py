"""The silicon engine: it times forward passes by NVIDIA's measured kernels in the optional package aiconfigurator-core.

The package contains its measurements, so nothing is fetched. Only this module imports it, and only when a spec asks for
it.
"""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any, Final

from planner.plan.layout import Layout
from planner.serving.forward import Pass
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.hardware import NodeTopology
from provider_catalog.precision import Precision

PACKAGE: Final = "aiconfigurator_core"
SILICON: Final = "silicon (aiconfigurator-core 0.12)"
SYSTEMS: Final[dict[str, str]] = {
    "A100-80GB": "a100_sxm",
    "H100": "h100_sxm",
    "H200": "h200_sxm",
    "B200": "b200_sxm",
    "B300": "b300_sxm",
    "GB200": "gb200",
    "L40S": "l40s",
}
"""System name in the package, by catalog name of the GPU."""
BACKENDS: Final = ("trtllm", "vllm", "sglang")
"""Serving engines whose kernels were measured, in the order they are tried."""
QUANT_MODES: Final[dict[Precision, tuple[str, ...]]] = {
    "bf16": ("bfloat16",),
    "fp16": ("bfloat16",),
    "fp8": ("fp8_block", "fp8"),
    "int8": ("int8_wo",),
    "int4": ("int4_wo",),
    "nvfp4": ("nvfp4",),
    "mxfp4": ("bfloat16",),
}
"""Formats of dense products, in the order they are tried."""
EXPERT_MODES: Final[dict[Precision, tuple[str, ...]]] = {**QUANT_MODES, "mxfp4": ("w4a16_mxfp4",)}
CACHE_MODES: Final[dict[Precision, str]] = {"bf16": "bfloat16", "fp16": "bfloat16", "fp8": "fp8", "int8": "int8"}
PARTS: Final = (
    ("logits", "head"),
    ("moe", "experts"),
    ("router", "experts"),
    ("attention", "attention"),
    ("mla", "attention"),
    ("dsa", "attention"),
    ("norm", "norms_and_activations"),
    ("act", "norms_and_activations"),
    ("ffn", "dense_feed_forward"),
    ("mlp", "dense_feed_forward"),
    ("shared", "dense_feed_forward"),
    ("gemm", "projections"),
)
"""(part of an operation's name, kind of work) in the order they are tried."""
COLLECTIVES: Final = ("_ar", "allreduce", "dispatch", "p2p", "all2all", "alltoall")


class UnsupportedError(Exception):
    """The package cannot time this model on this GPU; the message says why."""


def installed() -> bool:
    """Return whether the optional package is installed."""
    return find_spec(PACKAGE) is not None


class SiliconTiming:
    """Times forward passes of one model in one layout on one kind of node."""

    def __init__(
        self,
        architecture: ModelArchitecture,
        node: NodeTopology,
        layout: Layout,
        weights: Precision,
        kv_cache: Precision,
    ) -> None:
        """Find measurements for the model, layout and formats.

        Raises:
            UnsupportedError: The package has no such measurements.
        """
        if layout.tensor > node.gpus:
            raise UnsupportedError("tensor or expert parallelism across nodes is not looked up")
        self._groups = layout.attention_data
        self._handle = _handle(architecture.name, node.gpu.name, layout, weights, kv_cache)

    def parts_s(self, work: Pass) -> dict[str, float]:
        """Return the seconds of one pass by kind of work; they sum to the time of the pass.

        Raises:
            UnsupportedError: The pass lies outside of what was measured.
        """
        parts: dict[str, float] = {}
        for name, milliseconds in self._operations_ms(work):
            kind = part_of(name)
            parts[kind] = parts.get(kind, 0.0) + milliseconds / 1e3
        return parts

    def _operations_ms(self, work: Pass) -> list[tuple[str, float]]:
        prompts, decodes = ceil(work.prompts / self._groups), ceil(work.decodes / self._groups)
        length, cached = max(1, round(work.prompt_tokens)), round(work.cached_tokens)
        context = max(1, round(work.context_tokens))
        rows = max(1, round(decodes * work.tokens_per_decode))
        try:
            if work.prompts and work.decodes:
                found = self._handle.mixed_step_breakdown_per_op(
                    ctx_tokens=prompts * length, gen_tokens=rows, isl=length + cached, osl=2, prefix=cached
                )
                operations = [operation for kind in found for operation in kind]
            elif work.prompts:
                operations, _ = self._handle.run_static_per_op(
                    batch_size=prompts, isl=length + cached, osl=2, prefix=cached, mode="static_ctx"
                )
            else:
                _, operations = self._handle.run_static_per_op(
                    batch_size=rows, isl=context - 1 or 1, osl=2, mode="static_gen"
                )
        except Exception as error:
            raise UnsupportedError(_brief(error)) from error
        return [(str(operation[0]), float(operation[1])) for operation in operations]


def part_of(operation: str) -> str:
    """Return the kind of work of an operation, by its name."""
    name = operation.removeprefix("context_").removeprefix("generation_")
    if any(word in name for word in COLLECTIVES):
        return "collectives"
    return next((part for word, part in PARTS if word in name), "projections")


@cache
def _handle(model: str, gpu: str, layout: Layout, weights: Precision, kv_cache: Precision) -> Any:
    """Return a compiled engine of the package for which prefill and decode are measured."""
    if not installed():
        raise UnsupportedError("aiconfigurator-core is not installed: pip install 'llmcluster[silicon]'")
    if gpu not in SYSTEMS:
        raise UnsupportedError(f"{gpu} has no measured kernels; measured are {', '.join(SYSTEMS)}")
    if model not in known_models():
        raise UnsupportedError(f"{model} is not among the models of aiconfigurator-core")
    engine = import_module(f"{PACKAGE}.sdk.engine")
    attention = layout.tensor // layout.attention_data
    last = "no serving engine was measured"
    for backend in BACKENDS:
        for mode in QUANT_MODES.get(weights, ()):
            for experts in EXPERT_MODES.get(weights, ()) if mode == QUANT_MODES[weights][0] else (mode,):
                try:
                    handle = engine.EngineHandle.compile(
                        model,
                        SYSTEMS[gpu],
                        backend,
                        tp_size=attention,
                        pp_size=layout.pipeline,
                        attention_dp_size=layout.attention_data,
                        moe_tp_size=max(1, layout.tensor // layout.expert),
                        moe_ep_size=layout.expert,
                        gemm_quant_mode=mode,
                        moe_quant_mode=experts,
                        kvcache_quant_mode=CACHE_MODES.get(kv_cache, "bfloat16"),
                        fmha_quant_mode="bfloat16",
                    )
                    for phase in ("static_ctx", "static_gen"):
                        handle.run_static(batch_size=1, isl=128, osl=2, mode=phase)
                except Exception as error:
                    last = _brief(error)
                else:
                    return handle
    raise UnsupportedError(last)


@cache
def known_models() -> frozenset[str]:
    """Return the models whose configuration is in the package; it would have to fetch others."""
    package = find_spec(PACKAGE)
    folder = Path((package.submodule_search_locations or [""])[0] if package else "") / "model_configs"
    names = (path.name.removesuffix("_config.json") for path in folder.glob("*_config.json"))
    return frozenset(name.replace("--", "/", 1) for name in names)


def _brief(error: Exception) -> str:
    return str(error).split(" at /")[0].splitlines()[0][:160] if str(error) else type(error).__name__
