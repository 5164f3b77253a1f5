"""The serving engine of a spec: what may be written, and which fields contradict each other."""

from typing import Any

import pytest

from planner.errors import SpecError
from planner.spec import ClusterSpec
from planner.spec.hash import spec_sha256
from planner.spec.reader import read_spec
from provider_catalog.engine_memory import engine_memories, engine_memory

CHAT: dict[str, Any] = {"name": "chat", "model": "Qwen/Qwen2.5-7B", "workload": {"kind": "inference"}}


def spec(engine: dict[str, Any] | None = None, workload: dict[str, Any] | None = None, **rest: Any) -> ClusterSpec:
    document = {**CHAT, "workload": {**CHAT["workload"], **(workload or {})}, **rest}
    if engine is not None:
        document["engine"] = engine
    return read_spec(document, "spec")


def test_a_spec_without_an_engine_keeps_its_hash() -> None:
    assert spec_sha256(spec({})) == spec_sha256(spec())
    assert spec_sha256(spec({"name": "vllm"})) != spec_sha256(spec())


def test_the_older_field_still_names_the_engine() -> None:
    assert spec(workload={"serving_engine": "sglang"}).serving_engine == "sglang"
    assert spec({"name": "vllm"}).serving_engine == "vllm"


def test_yaml_reads_a_version_as_a_number() -> None:
    assert spec({"name": "vllm", "version": 0.19}).engine.version == "0.19"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"engine": {"version": "0.19"}}, "set name: vllm, sglang or tensorrt-llm"),
        ({"engine": {"name": "vllm", "version": 0.2}}, "write it in quotes"),
        ({"engine": {"name": "vllm", "version": "latest"}}, "engine.version"),
        ({"engine": {"max_num_batched_tokens": 64, "max_num_seqs": 128}}, "raise max_num_batched_tokens to 128"),
        ({"engine": {"name": "vllm"}, "workload": {"serving_engine": "sglang"}}, "leave workload.serving_engine out"),
        (
            {"engine": {"gpu_memory_utilization": 0.8}, "headroom": {"memory_fraction": 0.95}},
            "engine.gpu_memory_utilization is 0.8, but headroom.memory_fraction is 0.95",
        ),
        (
            {"engine": {"max_num_batched_tokens": 512}, "workload": {"chunked_prefill": False}},
            "must fit one iteration",
        ),
        ({"workload": {"max_context_tokens": 1000}}, "the smallest allowed value is 1280"),
    ],
)
def test_contradictions_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words.replace("+", r"\+")):
        spec(**changes)


def test_training_has_no_serving_engine() -> None:
    with pytest.raises(SpecError, match="runs no serving engine"):
        read_spec({**CHAT, "workload": {"kind": "training", "tokens": 1e9}, "engine": {"name": "vllm"}}, "spec")


def test_a_version_selects_its_row() -> None:
    # vLLM deducts CUDA graphs by default since 0.20 (envs.py) and had 0.9 as the default until then (config/cache.py)
    assert engine_memory("vllm", "0.19.1").memory.memory_setting == 0.9
    assert not engine_memory("vllm", "0.19.1").memory.cuda_graphs_counted
    assert engine_memory("vllm", "0.20").memory.memory_setting == 0.92
    assert engine_memory("vllm", "0.33.2").warning is None
    assert engine_memory("vllm").memory is engine_memories()[3]


@pytest.mark.parametrize(("version", "nearest"), [("0.4.2", "0.10"), ("0.40", "0.33"), ("1.0", "0.33")])
def test_a_version_outside_of_the_data_is_warned_of(version: str, nearest: str) -> None:
    warning = engine_memory("vllm", version).warning
    assert warning is not None and f"the memory of vllm {nearest} is used" in warning


def test_the_default_budget_follows_the_gpu() -> None:
    # vLLM 0.19, engine/arg_utils.py: 8,192 tokens and 1,024 sequences from 70 GiB except A100, else 2,048 and 256
    memory = engine_memory("vllm", "0.19").memory
    assert (memory.budget("H100", 79.19).tokens, memory.budget("H100", 79.19).sequences) == (8192, 1024)
    assert (memory.budget("A100-80GB", 79.15).tokens, memory.budget("L4", 22.03).sequences) == (2048, 256)
    assert engine_memory("vllm").memory.budget("B200", 178.35).tokens == 16384
