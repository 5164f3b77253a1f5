"""Assembles the Plan from the result of the search: choice, alternatives, notes."""

from collections.abc import Sequence

from planner.cost.price_ages import compute_as_of, price_ages
from planner.cost.priced import Priced
from planner.cost.totals import with_totals
from planner.cost.updates import update_notes
from planner.plan.alternatives import Alternative, CompressionProposal, ParetoPoint, Rejection
from planner.plan.choice import Choice
from planner.plan.performance import TrainingPerformance
from planner.plan.plan import CatalogStamp, ModelSummary, Plan
from planner.plan.topology import Topology
from planner.reliability.pass_thresholds import pass_thresholds
from planner.search.notes import plan_notes
from planner.serving.autoscaling import autoscaling, check_bounds_of_fleet
from planner.serving.elasticity_notes import elasticity_notes
from planner.serving.serving_notes import serving_notes
from planner.serving.software_requirements import software_requirement
from planner.spec import ClusterSpec
from planner.spec.hash import spec_sha256
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog


def assemble(
    spec: ClusterSpec,
    architecture: ModelArchitecture,
    catalog: Catalog,
    best: Priced,
    others: Sequence[Priced],
    rejected: tuple[Rejection, ...],
    notes: tuple[str, ...] = (),
    pareto: tuple[ParetoPoint, ...] = (),
    topology: Topology | None = None,
    proposals: tuple[CompressionProposal, ...] = (),
) -> Plan:
    """Builds the Plan of a finished search.

    Raises:
        SpecError: the spec lacks the time zone of a schedule, or bounds the fleet beyond its nodes.
    """
    choice = _choice(spec, best)
    check_bounds_of_fleet(spec, best.candidate, best.mix)
    scaling = autoscaling(spec, best.candidate, best.mix)
    return Plan(
        name=spec.name,
        spec=spec,
        spec_sha256=spec_sha256(spec),
        catalog=CatalogStamp(version=catalog.version, prices_as_of=catalog.prices_as_of),
        model=ModelSummary(
            name=architecture.name,
            total_parameters=architecture.total_parameters,
            active_parameters=architecture.active_parameters,
            warnings=architecture.warnings,
        ),
        choice=choice,
        memory_per_gpu=best.candidate.memory,
        performance=best.candidate.performance,
        cost=with_totals(best.cost, spec, best.machine, best.mix, best.candidate, catalog),
        alternatives=tuple(alternative(option, best, (best, *others)) for option in others),
        rejected=rejected,
        notes=(
            *_price_age_note(best, others),
            *plan_notes(spec, architecture, catalog, best, choice),
            *notes,
            *(() if best.updates is None else update_notes(spec.name, best.updates, best.cost)),
            *serving_notes(spec, best.candidate, scaling),
            *elasticity_notes(spec, best.candidate.nodes, best.mix, scaling),
        ),
        software=software_requirement(
            spec,
            catalog.software,
            best.machine.node.gpu,
            architecture,
            best.candidate.weights,
            best.candidate.kv_cache,
        ),
        autoscaling=scaling,
        pareto=pareto,
        topology=topology,
        compression=proposals,
        updates=best.updates,
    )


def _choice(spec: ClusterSpec, best: Priced) -> Choice:
    machine, candidate = best.machine, best.candidate
    return Choice(
        provider=machine.provider,
        region=machine.region,
        zone=machine.zone,
        instance_type=machine.name,
        gpu=machine.node.gpu.name,
        nodes=candidate.nodes,
        gpus=candidate.nodes * machine.node.gpus,
        multi_node=candidate.gang > 1,
        layout=candidate.layout,
        weights=candidate.weights,
        kv_cache=candidate.kv_cache,
        purchase=best.mix.purchase,
        shared_storage=machine.place.shared_storage(spec),
        scratch=spec.storage.scratch if machine.nvme_disks else "none",
        root_disk_gib=machine.root_disk_gib,
        root_disk=machine.root_disk,
        pass_thresholds=pass_thresholds(machine.node, multi_node=candidate.gang > 1),
    )


def _price_age_note(best: Priced, others: Sequence[Priced]) -> tuple[str, ...]:
    """Returns a note if the choice was made between prices of different age."""
    ages = price_ages({option.machine.label: compute_as_of(option.cost) for option in (best, *others)})
    return () if ages is None else (ages,)


def alternative(option: Priced, best: Priced, every: Sequence[Priced] = ()) -> Alternative:
    """Describes an option that was not chosen, with the reason.

    Args:
        option: The option.
        best: The chosen cluster.
        every: All options that the Pareto front is taken over; empty: only the chosen cluster.
    """
    machine, candidate = option.machine, option.candidate
    per_million = option.cost.usd_per_million_output_tokens
    return Alternative(
        provider=machine.provider,
        region=machine.region,
        instance_type=machine.name,
        nodes=candidate.nodes,
        gpus=candidate.nodes * machine.node.gpus,
        layout=candidate.layout,
        usd_per_hour=option.cost.usd_per_hour,
        usd_per_month=option.cost.usd_per_month,
        usd_per_run=option.cost.usd_per_run,
        performance=candidate.performance,
        price_as_of=compute_as_of(option.cost),
        reason=_why_not(option, best),
        weights=candidate.weights,
        tokens_per_usd=1e6 / per_million if per_million else None,
        on_pareto_front=not any(_dominates(other, option) for other in every or (best,)),
    )


def _dominates(one: Priced, other: Priced) -> bool:
    """Returns whether `one` is no more expensive and no slower than `other`, and better in one of the two."""
    ours, theirs = (one.search_cost_usd, one.days_or_tpot_ms), (other.search_cost_usd, other.days_or_tpot_ms)
    return ours != theirs and ours[0] <= theirs[0] and ours[1] <= theirs[1]


def _why_not(option: Priced, best: Priced) -> str:
    if option.cost.usd_per_hour is None:
        return "no known price"
    extra = option.search_cost_usd / best.search_cost_usd - 1
    what = "a run" if isinstance(option.candidate.performance, TrainingPerformance) else "an hour"
    if option.unpriced_usd_per_hour or best.unpriced_usd_per_hour:
        what += ", counting unpriced items at the highest known rate"
    return f"costs {extra:.1%} more {what}" if extra > 0.0005 else "same price, slower or more complex"
