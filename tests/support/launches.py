"""Serving and training specs whose launch the tests look at, with their plans."""

from functools import cache
from typing import Any, Final

from planner.launch.commands import Launch
from planner.launch.serving_launch import serving_launch
from planner.plan.plan import Plan
from planner.search.optimizer import plan
from planner.spec.reader import read_spec
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model

CATALOG: Final = Catalog.load()
SOFTWARE: Final = CATALOG.software
ENGINES: Final = ("vllm", "sglang", "tensorrt-llm")

SPECS: Final[dict[str, dict[str, Any]]] = {
    "dense-alone": {
        "model": "meta-llama/Meta-Llama-3.1-8B",
        "workload": {"kind": "inference", "request_rate_per_s": 1, "prompt_tokens": 2000, "output_tokens": 500},
        "pin": {"node": {"gpu": "H100", "gpus": 1, "nic_gbit_per_s": 100}, "nodes": 1},
    },
    "dense-side-by-side": {
        "model": "meta-llama/Meta-Llama-3.1-70B",
        "workload": {"kind": "inference", "request_rate_per_s": 1},
        "precision": {"weights": "fp8", "kv_cache": "fp8"},
        "pin": {
            "node": {"gpu": "H100", "gpus": 8, "nic_gbit_per_s": 3200},
            "nodes": 1,
            "layout": {"tensor": 4, "pipeline": 1},
        },
    },
    "moe-over-two-nodes": {
        "model": "deepseek-ai/DeepSeek-R1",
        "workload": {"kind": "inference", "request_rate_per_s": 1},
        "precision": {"weights": "fp8"},
        "pin": {
            "node": {"gpu": "H100", "gpus": 8, "nic_gbit_per_s": 3200},
            "nodes": 4,
            "layout": {"tensor": 8, "pipeline": 2},
        },
    },
    "prompts-whole": {
        "model": "meta-llama/Meta-Llama-3.1-8B",
        "workload": {
            "kind": "inference",
            "request_rate_per_s": 1,
            "prompt_tokens": 12000,
            "output_tokens": 500,
            "chunked_prefill": False,
            "slo": {"ttft_ms": 5000, "tpot_ms": 200},
        },
        "pin": {"node": {"gpu": "H100", "gpus": 1, "nic_gbit_per_s": 100}, "nodes": 1},
    },
    "int4": {
        "model": "Qwen/Qwen2.5-7B",
        "workload": {"kind": "inference", "request_rate_per_s": 1},
        "precision": {"weights": "int4"},
        "pin": {
            "node": {"gpu": "L40S", "gpus": 4, "nic_gbit_per_s": 100},
            "nodes": 1,
            "layout": {"tensor": 1, "pipeline": 1},
        },
    },
}
TRAINING: Final[dict[str, Any]] = {
    "model": "meta-llama/Llama-2-70b-hf",
    "workload": {"kind": "training", "tokens": 2e12, "sequence_length": 4096, "deadline_days": 60},
    "pin": {
        "node": {"gpu": "A100-80GB", "gpus": 8, "nic_gbit_per_s": 1600},
        "nodes": 128,
        "layout": {"tensor": 8, "pipeline": 4, "data": 32, "virtual_stages": 5, "recompute": "full"},
    },
}


@cache
def architecture(name: str) -> ModelArchitecture:
    """Return the published architecture of a model."""
    return load_model(name, None)


@cache
def planned(name: str) -> Plan:
    """Return the plan of one of SPECS, or of TRAINING for "training"."""
    document = TRAINING if name == "training" else SPECS[name]
    return plan(read_spec({"name": "launched", **document}, "spec"), architecture(document["model"]), CATALOG)


def serving(name: str, engine: str | None) -> Launch:
    """Return how one of SPECS starts, under an engine or under the first that can."""
    decided = planned(name)
    return serving_launch(
        decided, architecture(SPECS[name]["model"]), SOFTWARE, CATALOG.gpu(decided.choice.gpu), engine
    )
