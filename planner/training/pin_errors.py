"""Errors for pinned clusters that no layout fills: the wrong field and the nearest valid value."""

from collections.abc import Callable
from math import lcm

from planner.errors import SpecError
from planner.sizing.legal_layouts import divides_layers, divisors, expert_count, head_count
from planner.spec import Pin, TrainingWorkload
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.hardware import NodeTopology


def check_product(pin: Pin, node: NodeTopology) -> None:
    """Refuse pinned degrees whose product is not the number of pinned GPUs.

    Raises:
        SpecError: The degrees do not multiply to the GPUs; the message names the field and the nearest valid value.
    """
    fixed = pin.layout
    if pin.nodes is None or fixed.tensor is None or fixed.pipeline is None:
        return
    gpus = pin.nodes * node.gpus
    replica = fixed.tensor * fixed.pipeline * (fixed.context or 1)
    if gpus % replica:
        step = lcm(replica, node.gpus) // node.gpus
        nearest = max(1, round(pin.nodes / step)) * step
        raise SpecError(
            f"pin.nodes is {pin.nodes}, {gpus} GPUs, not a multiple of tensor x pipeline x context ="
            f" {replica}: nearest is {nearest} ({nearest * node.gpus} GPUs); change pin.nodes or pin.layout"
        )
    data = fixed.data or gpus // replica
    if data * replica != gpus and (fixed.context is not None or gpus % (replica * data)):
        raise SpecError(
            f"pin.layout.data is {data}, but {gpus} GPUs (pin.nodes) hold {gpus // replica} replicas of {replica} GPUs:"
            f" nearest is {gpus // replica}; change pin.nodes, or leave data out"
        )


def no_layout(
    pin: Pin, node: NodeTopology, workload: TrainingWorkload, architecture: ModelArchitecture, batch_sequences: int
) -> str:
    """Return why a pinned cluster has no layout at all: its batch is too small, or its degrees do not fill it.

    Args:
        pin: Pinned nodes and degrees.
        node: Kind of node.
        workload: Training workload.
        architecture: Architecture of the model.
        batch_sequences: Sequences of one optimizer step.
    """
    fixed = pin.layout
    gpus = pin.nodes * node.gpus if pin.nodes else None
    replica = (fixed.tensor or 1) * (fixed.pipeline or 1) * (fixed.context or 1)
    if gpus and gpus % replica:
        return _no_divisor(pin, gpus, replica, workload, architecture)
    if gpus and fixed.data and gpus % (fixed.data * replica):
        asked = fixed.data
        return (
            f"pin.layout.data is {asked}; data x {replica} (the product of the other pinned degrees) must divide the"
            f" {gpus} GPUs of pin.nodes: nearest is {min(divisors(gpus // replica), key=lambda d: abs(d - asked))}"
        )
    data = gpus // replica if gpus else fixed.data or 1
    if data * (fixed.micro_batch or 1) > batch_sequences and (fixed.tensor or fixed.data):
        least = data * (fixed.micro_batch or 1) * workload.sequence_length
        return (
            f"workload.global_batch_tokens is {workload.global_batch_tokens:g}, {batch_sequences}"
            f" sequences, fewer than one micro-batch for each of the {data} replicas: nearest is {least:,}, or more"
            " tensor, pipeline or context parallelism"
        )
    if gpus and fixed.expert and fixed.expert > 1:
        ranks = gpus // ((fixed.tensor or 1) * (fixed.pipeline or 1))
        legal = [e for e in divisors(expert_count(architecture)) if ranks % e == 0]
        asked = fixed.expert
        nearest = min(legal or [1], key=lambda e: abs(e - asked))
        if ranks % asked:
            return (
                f"pin.layout.expert is {asked}; it must divide data x context parallelism, {ranks} on {gpus}"
                f" GPUs: nearest is {nearest}. Experts are also split by tensor parallelism: Megatron's expert-parallel"
                " degree with expert tensor parallelism 1 is expert x tensor"
            )
    return (
        f"pin: no layout of {architecture.name} fills {gpus or 'the pinned'} GPUs with a whole number"
        f" of replicas and a batch of {batch_sequences} sequences; change pin.nodes, pin.layout or"
        " workload.global_batch_tokens"
    )


def _no_divisor(pin: Pin, gpus: int, replica: int, workload: TrainingWorkload, architecture: ModelArchitecture) -> str:
    """Return the error that lists, for each degree of a replica, the nearest value that divides the GPUs."""
    heads, layers, length = head_count(architecture), architecture.layer_count, workload.sequence_length
    legal: dict[str, Callable[[int], bool]] = {
        "pipeline": lambda degree: divides_layers(layers, degree),
        "tensor": lambda degree: heads % degree == 0,
        "context": lambda degree: degree == 1 or length % (2 * degree) == 0,
    }
    changes = []
    for name, allowed in legal.items():
        asked = getattr(pin.layout, name)
        if asked is None or gpus % (replica // asked):
            continue
        rest = gpus // (replica // asked)
        degree = min((found for found in divisors(rest) if allowed(found)), key=lambda found: abs(found - asked))
        changes.append(f"pin.layout.{name} {degree} instead of {asked}")
    given = " x ".join(name for name in legal if getattr(pin.layout, name))
    nearest = f": nearest is {' or '.join(changes)}" if changes else "; change pin.layout"
    return f"pin.layout: {given} = {replica} must divide the {gpus} GPUs of pin.nodes{nearest}, or change pin.nodes"
