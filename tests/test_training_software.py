"""Effects of training software on step time, against published pairs of runs."""

from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy_training import HELD_OUT, Replay, replay, runs
from benchmarks.leave_one_out import eight_gpus
from planner.errors import SpecError
from planner.sizing.efficiency import KernelRates
from planner.spec.reader import read_spec
from planner.spec.training_software import CudaGraphs, TrainingSoftware
from planner.training.kernel_launches import LAUNCH_S, launch_notes, launch_wait_s
from planner.training.layer_time import LayerTime, LayerTimer, Split
from planner.training.traffic import LayerTraffic, ReplicaTraffic
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model

RUNS = {run["name"]: run for run in runs(HELD_OUT)}
QWEN = "bridge-qwen3-30b-h100-bf16"


def replayed(name: str, layout: dict[str, Any] | None = None, **changed: Any) -> Replay:
    run = RUNS[name]
    software = {**run.get("software", {}), **changed}
    return replay({**run, "software": software, "layout": {**run["layout"], **(layout or {})}})


@pytest.mark.parametrize(
    ("name", "within"),
    [
        # Qwen3 30B-A3B on two nodes of H100: 21.0, 41.3 and 31.3 s a step by how tokens reach their experts (Megatron
        # Bridge, skills/mbridge-perf-moe-hardware-configs and mbridge-perf-moe-comm-overlap)
        (QWEN, 0.15),
        (f"{QWEN}-alltoall", 0.15),
        (f"{QWEN}-alltoall-overlap", 0.15),
        # micro-batches of one without CUDA graphs: the host sets the pace (Megatron Bridge performance summary)
        ("bridge-qwen3-30b-b200", 0.15),
        ("bridge-2511-qwen3-30b-b200", 0.15),
        ("bridge-2604-qwen3-30b-h100", 0.15),
        # gpt-oss, whose experts have biases, on eight nodes: 64 experts' ranks over the network, and inside a node
        ("bridge-gpt-oss-120b-b200-bf16", 0.15),
        ("bridge-2604-gpt-oss-120b-h100", 0.2),
        ("automodel-gpt-oss-20b-h100", 0.2),
        # Llama 3 8B with PyTorch's selective checkpointing (torchtitan benchmarks/llama3_h100_202412_torchtitan.md)
        ("titan-8b-128", 0.2),
    ],
)
def test_predicted_step_times_agree_with_published_pairs_of_runs(name: str, within: float) -> None:
    assert abs(replay(RUNS[name]).error) <= within


def test_an_all_to_all_sends_a_copy_to_every_expert() -> None:
    # DeepSeek-V3 (arXiv 2412.19437), section 3.2.2: a token crosses the network once for each of its nodes. On two
    # nodes half of the 8 copies of Qwen3's tokens cross one by one; deduplicated, one does, almost surely.
    model, split = load_model("Qwen/Qwen3-30B-A3B"), Split(1, 1, 16, 1, "none", False)
    softwares = [TrainingSoftware(expert_dispatch=way) for way in ("deduplicated", "alltoall")]
    traffic = [ReplicaTraffic(eight_gpus("H100"), model.hidden_size, 4096, 2, software) for software in softwares]
    once, each = (one.expert_values(model.layers[0], split)[1] for one in traffic)
    assert each == 4 * 4096 * model.hidden_size
    assert once == pytest.approx(each / 4, rel=0.01)


@given(
    computing=st.floats(0, 0.05),
    sent=st.floats(0, 0.05),
    recompute=st.sampled_from(["none", "selective", "full"]),
    graphs=st.sampled_from(["none", "partial", "full"]),
)
def test_a_layer_takes_the_longer_of_host_and_gpu(
    computing: float, sent: float, recompute: Literal["none", "selective", "full"], graphs: CudaGraphs
) -> None:
    time, traffic = LayerTime(matmul_forward=computing), LayerTraffic(expert=(sent, 0.0))
    layer_s = computing + sent + sum(launch_wait_s(time, traffic, recompute, graphs))
    launches_s = LAUNCH_S[graphs] * (4 / 3 if recompute == "full" else 1)
    assert layer_s == pytest.approx(max(computing + sent, launches_s))


def test_a_larger_micro_batch_hides_launches() -> None:
    one, four = (replayed("bridge-qwen3-30b-b200", {"micro_batch": size}) for size in (1, 4))
    assert one.performance.breakdown_s["launches"] > 0
    assert "larger micro-batches" in launch_notes(one.performance)[0]
    assert launch_notes(four.performance) == ()
    assert four.performance.breakdown_s.get("launches", 0) < one.performance.breakdown_s["launches"]
    assert four.ours_s < one.ours_s / 2  # 26,859 against 9,691 tokens a second, with graphs


@pytest.mark.parametrize("name", [QWEN, "bridge-qwen3-30b-b200", "bridge-gpt-oss-120b-b200-bf16"])
def test_capturing_more_is_never_slower(name: str) -> None:
    none, partial, full = (replayed(name, cuda_graphs=graphs).ours_s for graphs in ("none", "partial", "full"))
    assert none >= partial >= full


def test_dense_models_are_not_touched() -> None:
    run = RUNS["nemo-nemotron-8b"]
    changed = {"expert_dispatch": "alltoall", "expert_overlap": False, "cuda_graphs": "none"}
    assert replay({**run, "software": changed}).ours_s == replay(run).ours_s


def test_selective_checkpointing_of_operations_repeats_half_of_the_products() -> None:
    # a sixth of the three products that each forward one makes (NeMo AutoModel, activation_checkpointing)
    modules, operations = (replayed("titan-8b-128", selective_recompute=kind) for kind in ("modules", "operations"))
    parts = modules.performance.breakdown_s
    more = operations.performance.breakdown_s["recompute"] - parts["recompute"]
    assert more == pytest.approx(parts["matmul"] / 6, rel=0.15)


def test_experts_with_biases_take_longer() -> None:
    # gpt-oss adds them outside of fused kernels (Megatron-Core, TEGroupedMLP._apply_bias): 68 bytes a value of the
    # output and 36 of the inside, for 4 copies a token
    model = load_model("openai/gpt-oss-120b")
    assert not load_model("Qwen/Qwen3-30B-A3B").layers[0].feed_forward.expert_bias
    biased = model.layers[0]
    plain = replace(biased, feed_forward=replace(biased.feed_forward, expert_bias=False))
    rates = KernelRates.of(Catalog.load().gpu("B200"), "bf16")
    split = Split(1, 1, 8, 4, "none", False)
    timer = LayerTimer(rates, model.hidden_size, 4096, flash_attention=True)
    more = timer.time(biased, split).seconds - timer.time(plain, split).seconds
    assert more == pytest.approx(4 * 4096 * 4 * 2880 * (68 + 36) / rates.bytes_per_s)


def test_a_state_space_layer_takes_time_in_proportion_to_tokens() -> None:
    # Dao and Gu 2024 (arXiv 2405.21060), Figure 10: linear in the sequence, 6 times as fast as FlashAttention-2 at 16k
    group = next(one for one in load_model("nvidia/Nemotron-H-56B-Base-8K").layers if one.attention.kind == "ssm")
    width = group.attention.value_width
    rates = KernelRates.of(Catalog.load().gpu("A100-80GB"), "bf16")
    short, long = (
        LayerTimer(rates, 8192, length, flash_attention=True).time(group, Split(1, 1, 1, 1, "none", False))
        for length in (4096, 16384)
    )
    assert long.attention_forward == pytest.approx(4 * short.attention_forward)
    attention_s = rates.attention_s(16384 * 4 * width * 16384 / 2, 16384, 128)
    assert attention_s / long.attention_forward == pytest.approx(6, rel=0.15)


def test_the_defaults_leave_a_spec_as_it_was() -> None:
    document = {"name": "run", "model": "m", "workload": {"kind": "training", "tokens": 1e12}}
    assert "software" not in read_spec(document, "spec").workload.model_dump()
    document["workload"] = {**document["workload"], "software": {"cuda_graphs": "all"}}  # type: ignore[dict-item]
    with pytest.raises(SpecError, match="cuda_graphs"):
        read_spec(document, "spec")
