"""The launch of a serving plan by one engine."""

from collections.abc import Callable
from typing import Final

from planner.errors import SpecError
from planner.launch import sglang, tensorrt_llm, vllm
from planner.launch.commands import Command, Launch, fabric_environment
from planner.launch.serving_settings import ServingSettings, serving_settings, split_notes
from planner.plan.performance import InferencePerformance
from planner.plan.plan import Plan
from planner.sizing.split_rules import broken_rule
from planner.spec import InferenceWorkload
from planner.spec.pin import UNLISTED_GENERATION
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.hardware import Gpu
from provider_catalog.software_matrix import SoftwareMatrix

ENGINES: Final[dict[str, Callable[[ServingSettings], tuple[Command, ...]]]] = {
    "vllm": vllm.commands,
    "sglang": sglang.commands,
    "tensorrt-llm": tensorrt_llm.commands,
}
"""Builder of the commands of each engine; the first engine that runs a plan is the default."""


def serving_launch(
    plan: Plan, architecture: ModelArchitecture, software: SoftwareMatrix, gpu: Gpu, engine: str | None
) -> Launch:
    """Return the launch of a serving plan.

    Args:
        plan: A serving plan.
        architecture: Architecture of the plan's model.
        software: The catalog's software matrix.
        gpu: GPU of the plan's choice.
        engine: Name of the engine; None takes the spec's, else the first of the matrix that runs the plan.

    Raises:
        SpecError: The plan is not for serving, or the engine cannot run it.
    """
    performance, workload = plan.performance, plan.spec.workload
    if not isinstance(performance, InferencePerformance) or not isinstance(workload, InferenceWorkload):
        raise SpecError(f"workload.kind is {workload.kind}; serving engines launch kind: inference only")
    name = engine or _default(software, gpu, architecture, plan)
    if name not in ENGINES:
        raise SpecError(f"engine is {name!r}; allowed: {', '.join(ENGINES)}")
    choice = plan.choice
    refused = software.refuse_engine(name, gpu, architecture, choice.weights, choice.kv_cache)
    if refused is not None and gpu.generation != UNLISTED_GENERATION:
        raise SpecError(f"engine: {refused}")
    broken = broken_rule(architecture, choice.weights, choice.layout)
    if broken is not None:
        raise SpecError(
            f"choice.layout: {choice.layout.serving_name} in {choice.weights}: {broken}; plan the spec again"
        )
    settings = serving_settings(plan, performance, workload, architecture, software.engines[name])
    if settings.prefill_replicas and name == "tensorrt-llm":
        raise SpecError("engine is 'tensorrt-llm'; disaggregated fleets are launched by vllm and sglang only")
    documented = software.engine_flags[name]
    files: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    if name == "tensorrt-llm":
        files, notes = {tensorrt_llm.CONFIG_FILE: tensorrt_llm.config(settings)}, tensorrt_llm.notes(settings)
    return Launch(
        engine=name,
        version=documented.version,
        flags_from=documented.source,
        nodes=choice.nodes,
        nodes_per_gang=settings.nodes_per_gang,
        replicas_per_gang=settings.replicas_per_gang,
        commands=ENGINES[name](settings),
        environment=fabric_environment(plan),
        files=files,
        notes=(*settings.notes(), *split_notes(settings, software.engines[name]), *notes, *_requirement(plan)),
    )


def _default(software: SoftwareMatrix, gpu: Gpu, architecture: ModelArchitecture, plan: Plan) -> str:
    if plan.spec.serving_engine != "auto":
        return plan.spec.serving_engine
    formats = (plan.choice.weights, plan.choice.kv_cache)
    runs = (name for name in ENGINES if software.refuse_engine(name, gpu, architecture, *formats) is None)
    return next(runs, next(iter(ENGINES)))


def _requirement(plan: Plan) -> tuple[str, ...]:
    needs = plan.software
    if needs is None:
        return ()
    driver = f", driver {needs.min_driver} or newer" if needs.min_driver else ""
    return (f"{plan.choice.gpu} needs {needs.stack} {needs.min_version} or newer{driver}",)
