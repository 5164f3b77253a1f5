"""What a model holds, in the shape of the `size --json` contract."""

import json
from dataclasses import asdict, dataclass
from typing import get_args

from planner.errors import SpecError
from planner.sizing.kv_cache import kv_cache_bytes_per_token
from planner.sizing.weights import weights_bytes
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.precision import Precision


@dataclass(frozen=True)
class ParameterCounts:
    """Where the parameters of a model lie."""

    total: int
    active: int
    embedding: int
    by_component: dict[str, int]


@dataclass(frozen=True)
class ModelSize:
    """Parameters and bytes of a model, in the nesting of the contract."""

    model: str
    parameters: ParameterCounts
    weights_precision: str
    weights_bytes: int
    kv_cache_precision: str
    kv_cache_bytes_per_token: float
    warnings: tuple[str, ...]

    def to_json(self) -> str:
        """The contract's JSON."""
        return json.dumps(asdict(self), indent=2)


def model_size(architecture: ModelArchitecture, weights: str | None, kv_cache: str) -> ModelSize:
    """Parameters, weight bytes and KV-cache bytes per token of a model.

    Raises:
        SpecError: a format that does not exist.
    """
    weights_precision = _precision("--weights", weights or architecture.published_precision)
    kv_precision = _precision("--kv-cache", kv_cache)
    per_token = kv_cache_bytes_per_token(architecture, kv_precision)
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
        kv_cache_precision=kv_precision,
        kv_cache_bytes_per_token=int(per_token) if per_token.is_integer() else per_token,
        warnings=architecture.warnings,
    )


def _precision(option: str, given: str) -> Precision:
    for known in get_args(Precision):
        if given == known:
            return known  # type: ignore[no-any-return]
    raise SpecError(f"{option} is {given!r}; allowed: {', '.join(get_args(Precision))}")
