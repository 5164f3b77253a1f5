"""Parameters and bytes of a model, in the structure of `size --json`, on which scripts rely."""

import json
from dataclasses import asdict, dataclass
from typing import Final, get_args

from planner.errors import SpecError
from planner.sizing.kv_cache import BLOCK_TOKENS, kv_cache_bytes, kv_cache_bytes_per_token
from planner.sizing.weights import checkpoint_warning, weights_bytes
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.precision import Precision

DEFAULT_CONTEXT_TOKENS: Final = 8192
DEFAULT_CONCURRENCY: Final = 16
MAX_TOKENS: Final = 10**9
"""Upper bound of token and sequence counts: a thousand times the longest published context."""
TABLE: Final[tuple[Precision, ...]] = ("fp32", "bf16", "fp8", "int8", "int4", "nvfp4", "mxfp4")


@dataclass(frozen=True, slots=True)
class ParameterCounts:
    """Parameters of a model, in total and by component."""

    total: int
    active: int
    embedding: int
    by_component: dict[str, int]


@dataclass(frozen=True, slots=True)
class KvCache:
    """KV cache of `concurrency` sequences of `context_tokens` each, in whole blocks, as one copy."""

    context_tokens: int
    concurrency: int
    block_tokens: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Parameters and bytes of a model, nested as in `size --json`."""

    model: str
    parameters: ParameterCounts
    weights_precision: Precision
    weights_bytes: int
    weights_bytes_by_precision: dict[str, int]
    """Bytes with their scales; `fp8` has one scale per 128 x 128 block, `fp8 per tensor` one per matrix."""
    kv_cache_precision: Precision
    kv_cache_bytes_per_token: float
    kv_cache: KvCache
    warnings: tuple[str, ...]

    def to_json(self, **more: object) -> str:
        """Returns the JSON of `size --json`, with the keys of `more` after its own."""
        return json.dumps({**asdict(self), **more}, indent=2, ensure_ascii=False)


def model_size(
    architecture: ModelArchitecture,
    weights: str | None = None,
    kv_cache: str = "bf16",
    context_tokens: int | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
) -> ModelSize:
    """Returns parameters, weight bytes and KV cache of a model.

    Args:
        architecture: The model.
        weights: Format of the weights; None takes the published one.
        kv_cache: Format of the KV cache.
        context_tokens: Tokens per sequence; None takes 8192, or the model's limit where that is less.
        concurrency: Sequences in the cache at once.

    Raises:
        SpecError: a format does not exist, or a count is out of bounds.
    """
    weights_precision = known_precision("--weights", weights or architecture.published_precision)
    kv_precision = known_precision("--kv-cache", kv_cache)
    longest = architecture.max_position_embeddings
    if context_tokens is None:
        context_tokens = min(DEFAULT_CONTEXT_TOKENS, longest or DEFAULT_CONTEXT_TOKENS)
    for option, count in (("--context", context_tokens), ("--concurrency", concurrency)):
        if not 1 <= count <= MAX_TOKENS:
            raise SpecError(f"{option} is {count}; allowed: 1 to {MAX_TOKENS}")
    warnings = [*architecture.warnings, checkpoint_warning(architecture)]
    if longest is not None and context_tokens > longest:
        warnings.append(f"--context {context_tokens} exceeds the {longest} positions of the model")
    per_token = kv_cache_bytes_per_token(architecture, kv_precision)
    by_precision: dict[str, int] = {precision: weights_bytes(architecture, precision) for precision in TABLE}
    by_precision["fp8 per tensor"] = weights_bytes(architecture, "fp8", fp8_scales="tensor")
    return ModelSize(
        model=architecture.name,
        parameters=ParameterCounts(
            total=architecture.total_parameters,
            active=architecture.active_parameters,
            embedding=architecture.embedding_parameters,
            by_component=architecture.parameters_by_component,
        ),
        weights_precision=weights_precision,
        weights_bytes=weights_bytes(architecture, weights_precision),
        weights_bytes_by_precision=by_precision,
        kv_cache_precision=kv_precision,
        kv_cache_bytes_per_token=int(per_token) if per_token.is_integer() else per_token,
        kv_cache=KvCache(
            context_tokens=context_tokens,
            concurrency=concurrency,
            block_tokens=BLOCK_TOKENS,
            bytes=kv_cache_bytes(architecture, context_tokens, concurrency, kv_precision, block_tokens=BLOCK_TOKENS),
        ),
        warnings=tuple(warning for warning in warnings if warning),
    )


def known_precision(option: str, given: str) -> Precision:
    """Returns the format of that name.

    Raises:
        SpecError: there is no such format; the message names the option.
    """
    for known in get_args(Precision):
        if given == known:
            return known  # type: ignore[no-any-return]
    raise SpecError(f"{option} is {given!r}; allowed: {', '.join(get_args(Precision))}")
