"""Selective quantization: the format of every kind of block, and the blocks that stay in 16 bits."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from planner.errors import SpecError
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.measured_architecture import MeasuredArchitecture
from provider_catalog.precision import BITS_PER_VALUE, KEEP_PATTERN, Precision
from provider_catalog.quantization import StoredAs, WeightFormats

BLOCKS: Final = ("attention", "mlp", "experts")
"""Kinds of block as `by_component` names them; mlp holds dense blocks and shared experts."""
ALLOWED: Final = "attention, mlp, experts, or layers counted from 0 such as 0-2"


def served_precision(architecture: ModelArchitecture) -> Precision:
    """The format in which a model is served unless the spec names one: the published one, or bf16 instead of fp32.

    vLLM and SGLang load fp32 checkpoints in 16 bits (`--dtype auto`).
    """
    return "bf16" if architecture.published_precision == "fp32" else architecture.published_precision


def with_formats(
    architecture: ModelArchitecture, weights: Precision, experts: Precision | None = None, keep: Sequence[str] = ()
) -> ModelArchitecture:
    """The architecture as stored with matrices in `weights`, routed experts in `experts`, and `keep` in 16 bits.

    If `weights` is the published format, the publisher's format of each kind of block holds unless `experts` or `keep`
    changes it. Embedding, head, norms, biases and routers always stay in 16 bits.

    Raises:
        SpecError: `experts` is given for a model without experts, or an entry of `keep` names neither a kind of block
            nor existing layers.
    """
    if experts is None and not keep:
        return architecture
    if experts is not None and not architecture.routed_expert_parameters:
        raise SpecError(f"precision.experts is {experts}, but {architecture.name} has no routed experts; leave it out")
    published = architecture.published_formats if weights == architecture.published_precision else None
    high = StoredAs(precision=weights if BITS_PER_VALUE[weights] >= 16 else "bf16")
    alike = StoredAs(precision=weights)
    formats = published or WeightFormats(attention=alike, mlp=alike, experts=alike, head=high, embedding=high)
    if experts is not None:
        formats = replace(formats, experts=StoredAs(precision=experts))
    kept = _kept_shares(architecture, keep)
    chosen = {block: _keeping(getattr(formats, block), kept[block]) for block in BLOCKS}
    changes: dict[str, object] = {"published_precision": weights, "published_formats": replace(formats, **chosen)}
    if isinstance(architecture, MeasuredArchitecture):
        changes["checkpoint_bytes"] = None
    return replace(architecture, **changes)  # type: ignore[arg-type]


def _keeping(stored: StoredAs, share: float) -> StoredAs:
    return replace(stored, unquantized_share=max(stored.unquantized_share, share))


def _kept_shares(architecture: ModelArchitecture, keep: Sequence[str]) -> dict[str, float]:
    """Share of the parameters of every kind of block that `keep` names."""
    layers: set[int] = set()
    for entry in keep:
        if not re.fullmatch(KEEP_PATTERN, entry):
            raise SpecError(f"precision.keep holds {entry!r}; allowed: {ALLOWED}")
        if entry[0].isdigit():
            first, _, last = entry.partition("-")
            span = range(int(first), int(last or first) + 1)
            if not span or span[-1] >= architecture.layer_count:
                raise SpecError(
                    f"precision.keep holds {entry!r}; allowed: layers from 0 to {architecture.layer_count - 1} of "
                    f"{architecture.name}, the first before the last"
                )
            layers.update(span)
    held, total = dict.fromkeys(BLOCKS, 0), dict.fromkeys(BLOCKS, 0)
    for index, group in enumerate(architecture.layer_sequence):
        layer = architecture.layers[group]
        routed = layer.feed_forward.routed_expert_parameters
        sizes = (layer.attention.parameters, layer.feed_forward.parameters - routed, routed)
        for block, size in zip(BLOCKS, sizes, strict=True):
            total[block] += size
            held[block] += size if block in keep or index in layers else 0
    return {block: held[block] / total[block] if total[block] else 0.0 for block in BLOCKS}
