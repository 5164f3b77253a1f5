"""Layers of every pipeline stage."""

from functools import lru_cache

from provider_catalog.architecture import ModelArchitecture

StageLayers = tuple[tuple[int, int], ...]
"""Pairs (index of a layer group, number of its layers) for every group that a stage holds."""


def stage_sizes(layer_count: int, pipeline: int) -> tuple[int, ...]:
    """Layers per stage, as even as possible. A remainder goes to the stages before the last, from the back.

    The first stage holds the embedding and the last one the head, so they are the last to get an additional layer.
    vLLM divides layers in this way (`get_pp_indices`). Megatron takes even divisions only, for which both agree.

    Raises:
        ValueError: fewer layers than stages, or no stage.
    """
    if not 1 <= pipeline <= layer_count:
        raise ValueError(f"pipeline is {pipeline}; allowed: 1 to the {layer_count} layers of the model")
    base, remainder = divmod(layer_count, pipeline)
    sizes = [base] * pipeline
    for step in range(remainder):
        # Additional layers go to the last stage but one, then towards the first, and at last to the last stage.
        sizes[(pipeline - 2 - step) % pipeline] += 1
    return tuple(sizes)


@lru_cache(maxsize=4096)
def _stages(sequence: tuple[int, ...], pipeline: int) -> tuple[StageLayers, ...]:
    stages: list[StageLayers] = []
    start = 0
    for size in stage_sizes(len(sequence), pipeline):
        held = sequence[start : start + size]
        stages.append(tuple((group, held.count(group)) for group in dict.fromkeys(held)))
        start += size
    return tuple(stages)


def pipeline_stages(arch: ModelArchitecture, pipeline: int) -> tuple[StageLayers, ...]:
    """The layers of every pipeline stage, first stage first.

    Raises:
        ValueError: fewer layers than stages, or no stage.
    """
    return _stages(arch.layer_sequence, pipeline)
