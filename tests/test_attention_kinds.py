"""A new kind of attention is one class, one reader and one test: this is that test, for a kind that we do not ship.

Tensor Product Attention (Zhang et al. 2025, arXiv 2501.06425) factorizes queries, keys and values of every token into a
part per head and a part per channel. Its Table 1 gives the cache and the parameters that the tests below expect.
"""

import sys
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from types import ModuleType
from typing import Any

import pytest

from planner.plan.performance import InferencePerformance, TrainingPerformance
from planner.plan.plan import Plan
from planner.search.optimizer import plan
from planner.sizing.adapters import adapter_shares
from planner.sizing.kv_cache import kv_cache_bytes, kv_cache_bytes_per_gpu, kv_cache_bytes_per_token
from planner.sizing.layer_profile import layer_profile
from planner.sizing.optimizer_state import StateRules
from planner.sizing.profile import ModelProfile
from planner.sizing.training_memory import trainable_parameters
from planner.sizing.weights import weights_bytes, weights_bytes_per_gpu
from planner.spec import TrainingWorkload
from planner.spec.reader import read_spec
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.attention.base import SoftmaxAttention
from provider_catalog.catalog import Catalog
from provider_catalog.matrices import Matrix, Vector
from provider_catalog.model_config import blocks, read_config
from provider_catalog.model_config.fields import ConfigFields
from provider_catalog.model_config.parts import Parts, positions, vocabulary
from provider_catalog.model_config.reader import READERS

HIDDEN, HEADS, DIM, LAYERS, WIDTH, ROWS = 4096, 32, 128, 4, 11008, 32000
QUERY_RANK, KEY_RANK, VALUE_RANK = 6, 2, 2
CONFIG = {
    "model_type": "t6",
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "head_dim": DIM,
    "intermediate_size": WIDTH,
    "vocab_size": ROWS,
    "max_position_embeddings": 8192,
    "q_rank": QUERY_RANK,
    "k_rank": KEY_RANK,
    "v_rank": VALUE_RANK,
    "torch_dtype": "bfloat16",
}


@dataclass(frozen=True)
class TensorProductAttention(SoftmaxAttention):
    """Queries, keys and values as sums of `rank` products of a vector over heads and a vector over channels."""

    kind = "tpa"

    kv_heads: int = field(default=1, kw_only=True)
    _: KW_ONLY
    ranks: tuple[int, int, int]

    def list_matrices(self) -> Iterator[Matrix]:
        for name, rank in zip("qkv", self.ranks, strict=True):
            yield Matrix(f"W_A_{name}", self.hidden, rank * self.heads, "columns_by_head")
            yield Matrix(f"W_B_{name}", self.hidden, rank * self.head_dim)
        yield Matrix("o_proj", self.value_width, self.hidden, "rows_by_head", "values")

    def list_vectors(self) -> Iterator[Vector]:
        yield Vector("k_norm", self.head_dim)

    @property
    def cache_values_per_token(self) -> int:
        return (self.ranks[1] + self.ranks[2]) * (self.heads + self.head_dim)

    @property
    def training_kv_heads(self) -> int:
        return self.heads


def read_t6(config: ConfigFields, model_type: str) -> Parts:
    hidden = config.integer("hidden_size")
    ranks = (config.count("q_rank"), config.count("k_rank"), config.count("v_rank"))
    attention = TensorProductAttention(
        hidden, config.count("num_attention_heads"), config.integer("head_dim"), ranks=ranks
    )
    feed_forward = blocks.dense_feed_forward(hidden, config.integer("intermediate_size"))
    return Parts(
        hidden=hidden,
        vocabulary=vocabulary(config),
        positions=positions(config),
        tied=False,
        layers=[(attention, feed_forward, 2 * hidden)] * config.count("num_hidden_layers"),
        other=hidden,
    )


FACTORS = (QUERY_RANK + KEY_RANK + VALUE_RANK) * (HEADS + DIM)
"""Outputs of all factor projections."""
ATTENTION = HIDDEN * FACTORS + HEADS * DIM * HIDDEN + DIM
"""Table 1: d_model (R_Q + R_K + R_V)(h + d_h) and the output projection; here with a key norm."""
CACHE = LAYERS * (KEY_RANK + VALUE_RANK) * (HEADS + DIM)
"""Table 1: (R_K + R_V)(h + d_h) values per token and layer."""


@pytest.fixture
def t6(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = ModuleType("provider_catalog.model_config.t6")
    monkeypatch.setattr(module, "read", read_t6, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(READERS, "t6", ("t6", "read"))

    def read(**changes: object) -> ModelArchitecture:
        return read_config({**CONFIG, **changes}, "t6")

    return read


def test_weights_are_counted_and_divided(t6: Any) -> None:
    model = t6()
    outside = 2 * ROWS * HIDDEN + HIDDEN
    assert model.parameters_by_component["attention"] == LAYERS * ATTENTION
    assert model.total_parameters == LAYERS * (ATTENTION + 3 * HIDDEN * WIDTH + 2 * HIDDEN) + outside
    assert weights_bytes(model, "bf16") == 2 * model.total_parameters
    # Factors over channels and norms are whole on both ranks; factors over heads and the output are cut in two.
    whole = HIDDEN * (QUERY_RANK + KEY_RANK + VALUE_RANK) * DIM + DIM
    layer = whole + (ATTENTION - whole) // 2 + 3 * HIDDEN * WIDTH // 2 + 2 * HIDDEN
    assert weights_bytes_per_gpu(model, "bf16", 2, 1, 1) == 2 * (LAYERS * layer + ROWS * HIDDEN + HIDDEN)


def test_the_cache_holds_the_factors(t6: Any) -> None:
    model = t6()
    assert kv_cache_bytes_per_token(model, "bf16") == 2 * CACHE
    assert kv_cache_bytes(model, 1000, 3, "fp8") == 3000 * CACHE
    # One entry that all heads read is whole on every rank.
    assert kv_cache_bytes_per_gpu(model, 1000, 3, "fp8", 8, 1) == 3000 * CACHE


def test_a_quantized_checkpoint_can_name_its_matrices(t6: Any) -> None:
    method = {"quant_method": "fp8", "modules_to_not_convert": ["re:.*self_attn.W_B_q", "o_proj"]}
    formats = t6(quantization_config=method).published_formats
    left = HIDDEN * QUERY_RANK * DIM + HEADS * DIM * HIDDEN
    assert formats.attention.unquantized_share == pytest.approx(left / ATTENTION)


def test_adapters_sit_on_its_matrices(t6: Any) -> None:
    model = t6()
    workload = TrainingWorkload(kind="finetuning", tokens=1e6, method="lora", lora_rank=4, lora_targets="attention")
    rules = StateRules(method="lora", lora_rank=4, adapters=adapter_shares(workload, model))
    dense, experts = trainable_parameters(ModelProfile.of(model), rules)
    # LoRA, arXiv 2106.09685, section 4.1: r (inputs + outputs) of each of the six factors and of the output
    assert dense == 4 * LAYERS * (6 * HIDDEN + FACTORS + HEADS * DIM + HIDDEN)
    assert experts == 0
    named = workload.model_copy(update={"lora_targets": ("W_A_v",)})
    share = adapter_shares(named, model).attention
    assert share == pytest.approx((HIDDEN + VALUE_RANK * HEADS) / (6 * HIDDEN + FACTORS + HEADS * DIM + HIDDEN))


def test_a_layer_is_profiled(t6: Any) -> None:
    model = t6()
    profile = layer_profile(model.layers[0], HIDDEN)
    assert profile.forward_matmul_flops == 2 * (ATTENTION + 3 * HIDDEN * WIDTH)
    assert profile.attention_flops_per_context_token == 4 * HEADS * DIM
    assert profile.score_activation_bytes_per_context_token == 5 * HEADS
    # Queries, keys, values and the output of every head in 16 bits, and 3 values of the inner width
    assert profile.sharded_activation_bytes == 2 * (4 * HEADS * DIM) + 6 * WIDTH


def decide(model: ModelArchitecture, workload: dict[str, Any], **pin: Any) -> Plan:
    document = {
        "name": "tensor-product",
        "model": "t6",
        "workload": workload,
        "pin": {"instance_type": "p5.48xlarge", **pin},
    }
    return plan(read_spec(document, "spec"), model, Catalog.load())


def test_serving_is_planned_and_timed(t6: Any) -> None:
    workload = {"kind": "inference", "request_rate_per_s": 4, "prompt_tokens": 1024, "output_tokens": 256}
    times = {}
    for heads in (32, 128):
        decided = decide(t6(num_attention_heads=heads), workload, nodes=1, layout={"tensor": 1, "pipeline": 1})
        assert isinstance(decided.performance, InferencePerformance)
        times[heads] = decided.performance.prefill_ms
        assert decided.memory_per_gpu.weights["decoder"] == 2 * t6(num_attention_heads=heads).total_parameters
        cache = LAYERS * (KEY_RANK + VALUE_RANK) * (heads + DIM)
        sequences, rest = divmod(decided.memory_per_gpu.kv_cache_bytes, (1024 + 256) * 2 * cache)
        assert sequences >= decided.performance.batch
        assert rest == 0
    assert times[128] > times[32]


def test_training_is_planned_and_timed(t6: Any) -> None:
    workload = {"kind": "training", "tokens": 1e9, "sequence_length": 4096, "deadline_days": 30}
    days = {}
    for heads in (32, 128):
        decided = decide(t6(num_attention_heads=heads), workload, nodes=1, layout={"tensor": 1, "pipeline": 1})
        assert isinstance(decided.performance, TrainingPerformance)
        days[heads] = decided.performance.days
    assert days[128] > days[32]
