"""Linear layers of a model that carry LoRA adapters."""

from collections import defaultdict
from collections.abc import Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Literal, NamedTuple

from planner.errors import SpecError
from provider_catalog.architecture import LayerGroup, ModelArchitecture
from provider_catalog.matrices import Matrix
from provider_catalog.suggestions import did_you_mean

if TYPE_CHECKING:
    from planner.spec import TrainingWorkload

Part = Literal["attention", "feed_forward", "experts"]


class LinearLayer(NamedTuple):
    """A matrix of a layer that an adapter can sit on."""

    matrix: Matrix
    part: Part
    copies: int = 1
    """Matrices of that shape in the layer: one for each routed expert."""

    @property
    def name(self) -> str:
        """Name of the module, as `workload.lora_targets` gives it."""
        return self.matrix.name


class AdapterShares(NamedTuple):
    """Share of the rows and columns of the matrices of each part that carry an adapter."""

    attention: float = 1.0
    feed_forward: float = 1.0
    experts: float = 1.0


EVERYWHERE = AdapterShares()
BLOCKS = {"attention": AdapterShares(1.0, 0.0, 0.0), "attention-and-mlp": EVERYWHERE}
"""Values of `workload.lora_targets` that stand for groups of layers."""


def linear_layers(group: LayerGroup) -> Iterator[LinearLayer]:
    """Yields the linear layers of one layer of a group. Routers, gates and indexers take no adapter."""
    for matrix in group.attention.timed_projections:
        yield LinearLayer(matrix, "attention")
    for matrix in group.feed_forward.dense_matrices:
        yield LinearLayer(matrix, "feed_forward")
    for matrix in group.feed_forward.expert_matrices:
        yield LinearLayer(matrix, "experts", group.feed_forward.experts)


def adapter_shares(workload: "TrainingWorkload", architecture: ModelArchitecture) -> AdapterShares:
    """Share of each part of a model that carries an adapter of the workload.

    Raises:
        SpecError: The model does not have a named layer, or the rank exceeds a side of a matrix, so that the adapter
            would hold more parameters than the matrix (LoRA, arXiv 2106.09685, section 4.1: r below both sides).
    """
    targets = workload.lora_targets
    layers = [(group.count, layer) for group in architecture.layers for layer in linear_layers(group)]
    if isinstance(targets, str):
        shares = BLOCKS[targets]
        wanted = {layer.name for _, layer in layers if targets != "attention" or layer.part == "attention"}
    else:
        wanted = set(targets)
        for index, name in enumerate(targets):
            _check_name(f"workload.lora_targets[{index}]", name, architecture.name, [layer.name for _, layer in layers])
        edges: dict[Part, list[int]] = defaultdict(lambda: [0, 0])
        for count, layer in layers:
            sides = count * layer.copies * (layer.matrix.inputs + layer.matrix.outputs)
            edges[layer.part][0] += sides * (layer.name in wanted)
            edges[layer.part][1] += sides
        shares = AdapterShares(**{part: some / every for part, (some, every) in edges.items()})
    narrowest = min(
        (layer.matrix for _, layer in layers if layer.name in wanted), key=attrgetter("smaller_side"), default=None
    )
    if narrowest is None:
        raise SpecError(f"workload.lora_targets is {targets!r}, but {architecture.name} has no such layers")
    if workload.lora_rank > narrowest.smaller_side:
        raise SpecError(
            f"workload.lora_rank is {workload.lora_rank}, but {narrowest.name} of {architecture.name} is"
            f" {narrowest.inputs} x {narrowest.outputs}: an adapter of that rank would be larger than the matrix;"
            f" allowed: up to {narrowest.smaller_side}; usual values are 8 to 64"
        )
    return shares


def _check_name(field: str, name: str, model: str, known: list[str]) -> None:
    if name in known:
        return
    names = list(dict.fromkeys(known))
    hint = did_you_mean(name, names)
    raise SpecError(f"{field} is {name!r}, a layer that {model} does not have; {hint}it has {', '.join(names)}")
