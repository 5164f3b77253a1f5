r"""The blocks that the module names and patterns of a quantization_config denote.

Publishers write them as names (`model.layers.0.self_attn`), as bare words (`lm_head`), with wildcards
(`model.layers.*.self_attn*`) or as regular expressions (`re:.*mlp\.(gate|up)_proj.*`). They are parsed as words and
never run, because an untrusted regular expression may take forever.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from provider_catalog.architecture import LayerGroup
from provider_catalog.attention.base import Attention
from provider_catalog.feed_forward import FeedForward

MAX_NAMES: Final = 200_000
MAX_LENGTH: Final = 500
MAX_ALTERNATIVES: Final = 64

_ATTENTION: Final = frozenset(
    ("self_attn", "attn", "attention", "self_attention", "linear_attn", "mamba", "mixer", "temporal_block", "kda")
)
_FEED_FORWARD: Final = frozenset(("mlp", "feed_forward", "ffn", "moe", "block_sparse_moe", "experts_mlp"))
_LAYERS: Final = frozenset(("layers", "h", "blocks", "layer"))
_HEAD: Final = frozenset(("lm_head", "embed_out", "output_layer"))
_EMBEDDING: Final = frozenset(("embed_tokens", "wte", "word_embeddings", "embed_in", "embeddings"))
_SHARED: Final = frozenset(("shared_experts", "shared_expert", "shared_mlp", "share_expert", "shared_head_mlp"))
_ROUTER: Final = frozenset(("gate", "router", "shared_expert_gate", "e_score_correction_bias"))
_BESIDE: Final = ("vision", "visual", "audio", "mtp", "mm_", "multi_modal", "image", "eagle", "projector", "norm")
"""Parts of names of modules that are not part of the decoder, or are never quantized."""

_ATTENTION_PROJECTIONS: Final = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj", "q_a_proj", "q_b_proj", "kv_b_proj"), ()),
    **dict.fromkeys(("kv_a_proj_with_mqa", "in_proj", "out_proj"), ()),
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "query_key_value": ("q_proj", "k_proj", "v_proj"),
    "c_attn": ("q_proj", "k_proj", "v_proj"),
    "W_pack": ("q_proj", "k_proj", "v_proj"),
    "fused_qkv_a_proj_with_mqa": ("q_a_proj", "kv_a_proj_with_mqa"),
    **dict.fromkeys(("in_proj_qkvz", "in_proj_qkv", "in_proj_z"), ("in_proj",)),
    "kv_a_proj": ("kv_a_proj_with_mqa",),
    "dense": ("o_proj",),
    "c_proj": ("o_proj",),
}
_MLP_PROJECTIONS: Final = {
    **dict.fromkeys(("gate_proj", "up_proj", "down_proj"), ()),
    **dict.fromkeys(("gate_up_proj", "dense_h_to_4h"), ("gate_proj", "up_proj")),
    "w1": ("gate_proj",),
    "w3": ("up_proj",),
    **dict.fromkeys(("w2", "fc2", "dense_4h_to_h"), ("down_proj",)),
    "fc1": ("up_proj",),
}
WHOLE: Final = ""
_UNDERSTOOD: Final = frozenset((WHOLE, *_ATTENTION_PROJECTIONS, *_MLP_PROJECTIONS))


@dataclass
class NamedBlocks:
    """The blocks that names denote: projections by (block, layer or None for all layers); `WHOLE` means all of them."""

    projections: dict[tuple[str, int | None], set[str]] = field(default_factory=dict)
    not_understood: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, names: Iterable[object]) -> "NamedBlocks":
        """Parse names and patterns."""
        blocks = cls()
        for name in dict.fromkeys(name for name in names if isinstance(name, str)):
            patterns = list(_plain(name)) if len(name) <= MAX_LENGTH else []
            if not patterns:
                blocks.not_understood.append(name[:80])
            for pattern in patterns:
                for block, layer, projection in _meant(pattern):
                    blocks.projections.setdefault((block, layer), set()).add(projection)
        return blocks

    def names(self, block: str) -> bool:
        """Whether a name means a kind of block or its projections in any layer."""
        return any(
            named == block and any(name in _UNDERSTOOD or name.isdecimal() for name in names)
            for (named, _), names in self.projections.items()
        )

    def share(self, block: str, layer: int, shares: dict[str, float]) -> float:
        """Share of the parameters of a block in one layer that is meant.

        Args:
            block: Kind of block.
            layer: Number of the layer.
            shares: Share of each projection in the parameters of the block.
        """
        meant = self.projections.get((block, None), set()) | self.projections.get((block, layer), set())
        if WHOLE in meant:
            return 1.0
        return min(1.0, sum(shares.get(projection, 0.0) for projection in meant))

    def shares(self, layers: Iterable[LayerGroup]) -> dict[str, float]:
        """The share of the parameters that the names denote in every kind of block, over all layers in order."""
        meant = {"attention": 0.0, "mlp": 0.0, "experts": 0.0}
        total = dict.fromkeys(meant, 0)
        alone = {layer for _, layer in self.projections}
        alike: dict[int, list[tuple[str, int, float]]] = {}
        for index, layer in enumerate(layers):
            # Layers of one shape are equal unless a name refers to one of them.
            held = alike.get(id(layer)) if index not in alone else None
            if held is None:
                held = [
                    (block, parameters, max(self.share(named, index, shares), self.share("layer", index, {})))
                    for block, parameters, named, shares in _blocks(layer)
                ]
                if index not in alone:
                    alike[id(layer)] = held
            for block, parameters, share in held:
                total[block] += parameters
                meant[block] += parameters * share
        found = {block: meant[block] / total[block] if total[block] else 0.0 for block in meant}
        for outside in ("head", "embedding"):
            found[outside] = float((outside, None) in self.projections)
        return found


def _blocks(layer: LayerGroup) -> Iterator[tuple[str, int, str, dict[str, float]]]:
    """Yields (kind, parameters, name of the block, share of each projection) of a layer."""
    block = layer.feed_forward
    yield "attention", layer.attention.parameters, "attention", _attention_shares(layer.attention)
    rest = block.parameters - block.routed_expert_parameters
    yield "mlp", rest, "shared" if block.experts else "mlp", _mlp_shares(block)
    yield "experts", block.routed_expert_parameters, "experts", {**_mlp_shares(block), **_each_expert(block)}


def _attention_shares(attention: Attention) -> dict[str, float]:
    return {matrix.name: matrix.parameters / max(attention.parameters, 1) for matrix in attention.projections}


def _mlp_shares(block: FeedForward) -> dict[str, float]:
    names = block.projection_names
    return dict.fromkeys(names, 1 / len(names))


def _each_expert(block: FeedForward) -> dict[str, float]:
    return {str(expert): 1 / block.experts for expert in range(block.experts)}


def _plain(name: str) -> Iterator[str]:
    """Expand a name or regular expression into names and wildcard patterns; nothing if it cannot be expanded."""
    if not name.startswith("re:") and not re.search(r"[\\()|^$]|\.\*", name):
        yield name
        return
    text = name.removeprefix("re:").removeprefix("^").removesuffix("$")
    text = text.replace("\\.", ".").replace(".*", "*").replace(".+", "*").replace("(?:", "(")
    text = re.sub(r"\\d\+|\[0-9\]\+|\\d|\[0-9\]", "*", text)
    if "(?" in text or "\\" in text:
        return
    for plain in _alternatives(text):
        if re.search(r"[()\[\]{}|+?\\]", plain):
            return
        yield plain


def _alternatives(text: str) -> list[str]:
    """Expand `a(b|c)d` into abd and acd, innermost parentheses first; a text with too many alternatives is kept."""
    found = [text]
    while any(re.search(r"\(|\[[0-9]+\]", one) for one in found):
        longer: list[str] = []
        for one in found:
            group = re.search(r"\(([^()]*)\)|\[([0-9]+)\]", one)
            if group is None:
                longer.append(one)
                continue
            choices = group[1].split("|") if group[1] is not None else list(group[2])
            longer += [one[: group.start()] + choice + one[group.end() :] for choice in choices]
        if len(longer) > MAX_ALTERNATIVES or longer == found:
            return [text]
        found = longer
    return [part for one in found for part in one.split("|")]


def _meant(pattern: str) -> Iterator[tuple[str, int | None, str]]:
    """The (block, layer, projection) of a name or wildcard pattern; nothing if it denotes no counted block."""
    words = [word for part in pattern.split(".") if (word := part.strip("*"))]
    if any(beside in word for word in words for beside in _BESIDE):
        return
    layer, inside = _layer(words)
    if not inside:
        if layer is not None:
            yield "layer", layer, WHOLE
    elif inside[-1] in _HEAD:
        yield "head", None, WHOLE
    elif inside[-1] in _EMBEDDING:
        yield "embedding", None, WHOLE
    else:
        yield from ((block, layer, name) for block, name in _parts(inside))


def _layer(words: list[str]) -> tuple[int | None, list[str]]:
    """The layer number in a name and the words behind it; outside of layers, None and all words."""
    start = next((position for position, word in enumerate(words) if word in _LAYERS), -1)
    inside = words[start + 1 :]
    if start >= 0 and inside and inside[0].isdecimal():
        return int(inside[0]), inside[1:]
    return None, inside


def _parts(words: list[str]) -> Iterator[tuple[str, str]]:
    """The (block, projection) pairs of a name inside a layer."""
    last, every = words[-1], set(words)
    if every & _SHARED:
        yield from (("shared", name) for name in _projections(last, _SHARED, _MLP_PROJECTIONS))
    elif "experts" in every:
        yield from (("experts", name) for name in _of_experts(words[words.index("experts") + 1 :]))
    elif every & _ATTENTION or (last in _ATTENTION_PROJECTIONS and last not in ("dense", "c_proj")):
        # A matrix that the table does not know may be one that the model's kind of attention lists.
        yield from (("attention", name) for name in _projections(last, _ATTENTION, _ATTENTION_PROJECTIONS) or (last,))
    elif last not in _ROUTER and (words[0] in _FEED_FORWARD or last in _MLP_PROJECTIONS):
        for name in _projections(last, _FEED_FORWARD, _MLP_PROJECTIONS):
            yield "mlp", name
            if name == WHOLE:
                yield "shared", WHOLE
                yield "experts", WHOLE


def _of_experts(inside: list[str]) -> tuple[str, ...]:
    """The part of the routed experts that a name denotes: all, one expert by its number, or projections of all."""
    if not inside:
        return (WHOLE,)
    if inside[0].isdecimal():
        return (inside[0],) if len(inside) == 1 else ()
    return _projections(inside[-1], frozenset(), _MLP_PROJECTIONS)


def _projections(word: str, blocks: frozenset[str], known: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The projections that the last word of a name denotes in its block: all, some or none."""
    if word in blocks:
        return (WHOLE,)
    if word not in known:
        return ()
    return known[word] or (word,)
