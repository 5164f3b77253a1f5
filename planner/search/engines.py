"""Chooses the engine that evaluates a spec, and refuses specs that contradict the model."""

from math import inf

from planner.cost.updates import days_left_to_train
from planner.engine.candidate import Engine
from planner.errors import SpecError
from planner.serving.engine import InferenceEngine
from planner.serving.replica_memory import ServedBy
from planner.sizing.formats import served_precision, with_formats
from planner.sizing.profile import ModelProfile
from planner.spec import ClusterSpec, InferenceWorkload
from planner.training.compression import constrained_pin
from planner.training.engine import TrainingEngine
from planner.training.step_cache import StepCache
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.precision import BITS_PER_VALUE, Precision


def check_against_model(spec: ClusterSpec, architecture: ModelArchitecture) -> None:
    """Refuses sequences that are longer than the model supports.

    Raises:
        SpecError: a sequence is too long; the message has the field and the limit.
    """
    limit, workload = architecture.max_position_embeddings, spec.workload
    if limit is None:
        return
    if isinstance(workload, InferenceWorkload):
        context = workload.longest_context_tokens
        field = (
            "prompt_tokens + workload.output_tokens" if workload.max_context_tokens is None else "max_context_tokens"
        )
    else:
        context, field = workload.sequence_length, "sequence_length"
    measured = isinstance(workload, InferenceWorkload) and (spec.pin.nodes or spec.pin.batch)
    if context > limit and not measured:
        raise SpecError(f"workload.{field} is {context}; {architecture.name} supports at most {limit} tokens")


def _check_training(spec: ClusterSpec) -> None:
    """Refuses fields that apply only to serving.

    Raises:
        SpecError: such a field is set; the message says what to do.
    """
    weights, pin = spec.precision.weights, spec.pin
    if spec.precision.experts != "auto" or spec.precision.keep:
        raise SpecError("precision.experts and precision.keep apply only to serving; leave them out when training")
    if weights in ("int8", "int4"):
        raise SpecError(
            f"precision.weights is {weights}, which is only for serving: training needs floating point; allowed are"
            " auto, fp32, bf16, fp16, fp8, nvfp4 and mxfp4"
        )
    for name, given in (("pin.batch", pin.batch), ("pin.layout.attention_data", pin.layout.attention_data)):
        if given is not None:
            raise SpecError(f"{name} is {given}, but applies only to serving; leave it out when training")


def engine_of(
    spec: ClusterSpec, architecture: ModelArchitecture, step_cache: StepCache, *, wants_nearest: bool = True
) -> Engine:
    """Returns the engine that evaluates a spec.

    Args:
        spec: The workload and its constraints.
        architecture: Architecture of its model.
        step_cache: Cache of step times that training engines of the model share.
        wants_nearest: Whether near misses of a training engine must name the closest layout.

    Raises:
        SpecError: the model, the method or training does not support a number format.
    """
    weights, kv_cache = spec.precision.weights, spec.precision.kv_cache
    experts, keep = spec.precision.experts, spec.precision.keep
    if isinstance(spec.workload, InferenceWorkload):
        stored = served_precision(architecture) if weights == "auto" else weights
        served = with_formats(architecture, stored, None if experts == "auto" else experts, keep)
        return InferenceEngine(
            profile=ModelProfile.of(served),
            workload=spec.workload,
            headroom=spec.headroom,
            pin=spec.pin,
            weights=stored,
            kv_cache="bf16" if kv_cache == "auto" else kv_cache,
            may_widen=weights == "auto",
            also=spec.precision.also,
            served_by=ServedBy(spec.engine, spec.serving_engine),
        )
    _check_training(spec)
    precision: Precision = "bf16" if weights == "auto" else weights
    if spec.workload.method == "qlora" and BITS_PER_VALUE[precision] != 16:
        raise SpecError(
            f"precision.weights is {precision}, and workload.method is qlora, which stores weights in 4 bits and"
            " multiplies in 16; leave precision.weights out, or set method: lora"
        )
    workload, block = spec.workload, spec.capacity.block
    deadline_days = min(days_left_to_train(workload), inf if block is None else block.days)
    if deadline_days != workload.deadline_days:
        workload = workload.model_copy(update={"deadline_days": deadline_days})
    profile = ModelProfile.of(architecture, operand_bytes=1 if BITS_PER_VALUE[precision] <= 8 else 2)
    return TrainingEngine(
        profile,
        workload,
        spec.headroom,
        constrained_pin(spec.pin, workload),
        precision,
        step_cache=step_cache,
        wants_nearest=wants_nearest,
    )
