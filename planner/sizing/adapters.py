"""Which linear layers of a model carry LoRA adapters."""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from planner.errors import SpecError
from provider_catalog.architecture import LayerGroup, ModelArchitecture
from provider_catalog.suggestions import did_you_mean

if TYPE_CHECKING:
    from planner.spec import TrainingWorkload

Part = Literal["attention", "feed_forward", "experts"]


class LinearLayer(NamedTuple):
    """Matrices of one name in a layer."""

    name: str
    """As Hugging Face names it in Llama and DeepSeek; families that fuse or rename layers are counted by these."""
    part: Part
    inputs: int
    outputs: int
    copies: int = 1


class AdapterShares(NamedTuple):
    """Share of the rows and columns of each part's matrices that carry an adapter."""

    attention: float = 1.0
    feed_forward: float = 1.0
    experts: float = 1.0


EVERYWHERE = AdapterShares()
BLOCKS = {"attention": AdapterShares(1.0, 0.0, 0.0), "attention-and-mlp": EVERYWHERE}
"""What `workload.lora_targets` may name beside single layers."""


def linear_layers(group: LayerGroup, hidden: int) -> Iterator[LinearLayer]:
    """Linear layers of one layer of a group, but the router; shapes as in arXiv 2405.04434, section 2.1."""
    attention, block = group.attention, group.feed_forward
    values = attention.heads * (attention.value_head_dim or attention.head_dim)
    queries = attention.heads * attention.head_dim
    if attention.kind == "gqa":
        keys = attention.kv_heads * attention.head_dim
        yield LinearLayer("q_proj", "attention", hidden, queries)
        yield LinearLayer("k_proj", "attention", hidden, keys)
        yield LinearLayer("v_proj", "attention", hidden, keys // attention.head_dim * (values // attention.heads))
    elif attention.kind == "mla":
        rope, latent = attention.qk_rope_head_dim, attention.kv_lora_rank
        if attention.q_lora_rank:
            yield LinearLayer("q_a_proj", "attention", hidden, attention.q_lora_rank)
            yield LinearLayer("q_b_proj", "attention", attention.q_lora_rank, queries)
        else:
            yield LinearLayer("q_proj", "attention", hidden, queries)
        yield LinearLayer("kv_a_proj_with_mqa", "attention", hidden, latent + rope)
        yield LinearLayer("kv_b_proj", "attention", latent, attention.heads * (attention.head_dim - rope) + values)
    elif attention.kind != "none":
        matrices = attention.parameters - attention.high_precision_parameters
        yield LinearLayer("in_proj", "attention", hidden, max(matrices // hidden - values, 1))
    if attention.kind != "none":
        name = "o_proj" if attention.kind in ("gqa", "mla") else "out_proj"
        yield LinearLayer(name, "attention", values, hidden)
    parts: tuple[tuple[Part, int, int], ...] = (
        ("feed_forward", block.intermediate_size, 1),
        ("experts", block.expert_intermediate_size, block.experts),
    )
    for part, width, count in parts:
        if not width or not count:
            continue
        if block.gated:
            yield LinearLayer("gate_proj", part, hidden, width, count)
        yield LinearLayer("up_proj", part, hidden, width, count)
        yield LinearLayer("down_proj", part, width, hidden, count)


def adapter_shares(workload: "TrainingWorkload", architecture: ModelArchitecture) -> AdapterShares:
    """What of each part carries an adapter of the workload.

    Raises:
        SpecError: a layer that the model has not, or a rank above a side of a matrix, where the adapter would hold more
            parameters than the matrix (LoRA, arXiv 2106.09685, section 4.1: r below both sides).
    """
    targets = workload.lora_targets
    layers = [
        (group.count, layer)
        for group in architecture.layers
        for layer in linear_layers(group, architecture.hidden_size)
    ]
    if isinstance(targets, str):
        shares = BLOCKS[targets]
        wanted = {layer.name for _, layer in layers if targets != "attention" or layer.part == "attention"}
    else:
        wanted = set(targets)
        for index, name in enumerate(targets):
            _check_name(f"workload.lora_targets[{index}]", name, architecture.name, [layer.name for _, layer in layers])
        edges: dict[Part, list[int]] = defaultdict(lambda: [0, 0])
        for count, layer in layers:
            sides = count * layer.copies * (layer.inputs + layer.outputs)
            edges[layer.part][0] += sides * (layer.name in wanted)
            edges[layer.part][1] += sides
        shares = AdapterShares(**{part: some / every for part, (some, every) in edges.items()})
    narrowest = min((layer for _, layer in layers if layer.name in wanted), key=_smaller_side, default=None)
    if narrowest is None:
        raise SpecError(f"workload.lora_targets is {targets!r}, and {architecture.name} has no such layers")
    if workload.lora_rank > _smaller_side(narrowest):
        raise SpecError(
            f"workload.lora_rank is {workload.lora_rank}, and {narrowest.name} of {architecture.name} is"
            f" {narrowest.inputs} x {narrowest.outputs}: an adapter of that rank would be larger than what it adapts;"
            f" allowed is up to {_smaller_side(narrowest)}, usual are 8 to 64"
        )
    return shares


def _smaller_side(layer: LinearLayer) -> int:
    return min(layer.inputs, layer.outputs)


def _check_name(field: str, name: str, model: str, known: list[str]) -> None:
    if name in known:
        return
    names = list(dict.fromkeys(known))
    hint = did_you_mean(name, names)
    raise SpecError(f"{field} is {name!r}, a layer that {model} has not; {hint}it has {', '.join(names)}")
