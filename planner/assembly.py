"""From the winner of the search to the Plan: choice, alternatives, notes."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from planner.burn_in import pass_thresholds
from planner.candidate import Candidate
from planner.capacity import Mix
from planner.cost_totals import with_totals
from planner.errors import SpecError
from planner.layout import batch_sequences
from planner.lustre_lines import check_lustre
from planner.machines import OWN, Machine
from planner.plan import (
    Alternative,
    CatalogStamp,
    Choice,
    CompressionProposal,
    Cost,
    InferencePerformance,
    ModelSummary,
    ParetoPoint,
    Plan,
    Rejection,
    SharedStorage,
    TrainingPerformance,
    UpdateCosts,
)
from planner.purchase_terms import reserved_terms
from planner.quotas import quota_notes
from planner.reliability.advice import checkpoint_notes
from planner.serving.fleet import autoscaling, serving_notes
from planner.serving.slo import SloLine, slo_lines
from planner.serving.software import requirement
from planner.spec import ClusterSpec, InferenceWorkload, TrainingWorkload
from planner.topology.model import Topology
from planner.training.updates import START_H, Bought, update_costs, update_notes
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.facts import CatalogError
from provider_catalog.precision import BITS_PER_VALUE

SHORT_RUN_H = 5.0
"""Runs for which the start of the nodes is worth a note."""


@dataclass(frozen=True, slots=True)
class Priced:
    """A candidate on a machine with its bill."""

    machine: Machine
    candidate: Candidate
    mix: Mix
    cost: Cost
    updates: UpdateCosts | None = None
    unknown_usd_per_hour: float = 0.0
    """Most that lines without a known price may come to."""

    @property
    def objective_usd(self) -> float:
        """What the search minimises: run or update when training, the hour when serving.

        Lines without a known price count with the most that is asked elsewhere, so that a gap in a price list never
        makes a cloud cheap; nodes without one come last.
        """
        hourly = self.cost.usd_per_hour
        amount = self.cost.usd_per_run if self.cost.usd_per_run is not None else hourly
        if self.updates is not None:
            amount = self.updates.usd_per_update
        if amount is None or hourly is None:
            return float("inf")
        return amount * self.unknown_factor

    @property
    def unknown_factor(self) -> float:
        """What the bill is multiplied by where lines without a known price cost the most that is asked elsewhere."""
        hourly = self.cost.usd_per_hour
        return 1 + self.unknown_usd_per_hour / hourly if hourly else 1.0

    @property
    def bills(self) -> tuple[float | None, float | None]:
        """USD of a month, and of a run or of one update."""
        if self.updates is not None:
            return self.updates.usd_per_month, self.updates.usd_per_update
        return self.cost.usd_per_month, self.cost.usd_per_run

    @property
    def slowness(self) -> float:
        """Days of a run, or milliseconds an output token."""
        performance = self.candidate.performance
        return performance.days if isinstance(performance, TrainingPerformance) else performance.tpot_ms

    @property
    def rank(self) -> tuple[object, ...]:
        """Order of preference: what fits, money, speed, simplicity; the name last, so that ties are stable.

        Only a pinned layout can be overfull.
        """
        layout = self.candidate.layout
        simplicity = (layout.pipeline, layout.tensor, layout.zero_stage, layout.micro_batch)
        memory = self.candidate.memory
        overfull = memory.total_bytes > memory.capacity_bytes
        money_and_speed = (round(self.objective_usd, 6), round(self.slowness, 9))
        return (overfull, *money_and_speed, simplicity, self.machine.label)


def spec_sha256(spec: ClusterSpec) -> str:
    """SHA-256 of what a spec says beside the defaults, in canonical JSON, with the hours of a demand file in it.

    Key order, comments and spelled-out defaults do not change it, and neither do fields that later versions add.
    """
    said = spec.model_dump(mode="json", exclude_defaults=True)
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def shared_storage(spec: ClusterSpec, catalog: Catalog, machine: Machine) -> SharedStorage | None:
    """The file system on order, at the smallest size on sale that holds the request; None on one's own hardware.

    Raises:
        SpecError: the provider sells no such SKU.
    """
    if machine.provider == OWN:
        return None
    sku = spec.storage.shared_sku or catalog.provider_defaults(machine.provider).shared_file_system
    try:
        system = catalog.shared_file_system(machine.provider, sku)
    except CatalogError as error:
        raise SpecError(f"storage.shared_sku: {error}") from error
    check_lustre(spec.storage.lustre, system)
    requested_gib = spec.storage.shared_tib * 1024
    size_gib = system.legal_size_gib(requested_gib, efa=spec.storage.lustre.efa)
    return SharedStorage(
        sku=sku,
        deployment_type=system.deployment_type,
        size_gib=size_gib,
        requested_gib=requested_gib,
        throughput_mb_per_s=size_gib / 1024 * system.throughput_mb_per_s_per_tib,
        throughput_mb_per_s_per_tib=system.throughput_mb_per_s_per_tib,
    )


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
    """The Plan of a finished search."""
    choice = _choice(spec, catalog, best)
    scaling = autoscaling(spec, best.candidate)
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
            *_notes(spec, architecture, catalog, best, choice),
            *notes,
            *(() if best.updates is None else update_notes(spec.name, best.updates, best.cost)),
            *serving_notes(spec, best.candidate, scaling),
        ),
        software=requirement(
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


def with_updates(spec: ClusterSpec, architecture: ModelArchitecture, option: Priced) -> Priced:
    """A priced run with what it costs when it is repeated, where the spec does."""
    bought = Bought(option.machine, option.candidate, option.mix, option.cost)
    return replace(option, updates=update_costs(spec, architecture, bought))


def pareto_front(options: Sequence[Priced]) -> tuple[ParetoPoint, ...]:
    """Training runs that none of the options beats in both time and cost, as the search compares it; cheapest first."""
    front: list[ParetoPoint] = []
    for option in sorted(options, key=lambda option: option.rank):
        performance, usd = option.candidate.performance, option.cost.usd_per_run
        if not isinstance(performance, TrainingPerformance) or usd is None:
            continue
        if not front or performance.days < front[-1].days:
            point = ParetoPoint(
                provider=option.machine.provider,
                region=option.machine.region,
                instance_type=option.machine.name,
                nodes=option.candidate.nodes,
                days=performance.days,
                usd_per_run=usd,
                layout=option.candidate.layout,
            )
            front.append(point)
    return tuple(front)


def _choice(spec: ClusterSpec, catalog: Catalog, best: Priced) -> Choice:
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
        shared_storage=shared_storage(spec, catalog, machine),
        scratch=spec.storage.scratch if machine.nvme_disks else "none",
        root_disk_gib=machine.root_disk_gib,
        root_disk=machine.root_disk,
        pass_thresholds=pass_thresholds(machine.node, multi_node=candidate.gang > 1),
    )


def alternative(option: Priced, best: Priced, every: Sequence[Priced] = ()) -> Alternative:
    """Another cluster beside the best, and why it was not taken."""
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
        reason=_why_not(option, best),
        weights=candidate.weights,
        tokens_per_usd=1e6 / per_million if per_million else None,
        on_pareto_front=not any(_outdoes(other, option) for other in every or (best,)),
    )


def _outdoes(one: Priced, other: Priced) -> bool:
    """Whether one is no dearer and no slower than the other, and better in either."""
    ours, theirs = (one.objective_usd, one.slowness), (other.objective_usd, other.slowness)
    return ours != theirs and ours[0] <= theirs[0] and ours[1] <= theirs[1]


def _why_not(option: Priced, best: Priced) -> str:
    if option.cost.usd_per_hour is None:
        return "its price is unknown"
    extra = option.objective_usd / best.objective_usd - 1
    what = "a run" if isinstance(option.candidate.performance, TrainingPerformance) else "an hour"
    if option.unknown_usd_per_hour or best.unknown_usd_per_hour:
        what += ", with the most that others ask for what has no known price"
    return (
        f"costs {extra:.1%} more {what}"
        if extra > 0.0005
        else "costs the same, and ranks lower for speed or simplicity"
    )


def _missed_targets(spec: ClusterSpec, best: Priced) -> list[str]:
    """What a pinned configuration does not keep; the search offers nothing else that misses."""
    performance, workload = best.candidate.performance, spec.workload
    if isinstance(performance, TrainingPerformance) and isinstance(workload, TrainingWorkload):
        limits = {"workload.deadline_days": workload.deadline_days}
        if spec.capacity.block is not None:
            limits["capacity.block.days"] = spec.capacity.block.days
        return [
            f"takes {performance.days:.1f} days; {name} is {days:g}"
            for name, days in limits.items()
            if performance.days > days
        ]
    if isinstance(performance, InferencePerformance) and isinstance(workload, InferenceWorkload):
        return [_missed(line) for line in slo_lines(performance, workload.slo) if not line.holds]
    return []


def _missed(line: SloLine) -> str:
    statistic = "" if line.statistic == "mean" else f" {line.statistic}"
    if line.predicted_ms is None:
        return f"{line.name}{statistic} grows without end at this rate; the SLO is {line.asked_ms:g} ms"
    return f"{line.name}{statistic} is {line.predicted_ms:.4g} ms; the SLO is {line.asked_ms:g} ms"


def _rounded_batch(spec: ClusterSpec) -> list[str]:
    if not isinstance(spec.workload, TrainingWorkload):
        return []
    asked, length = spec.workload.global_batch_tokens, spec.workload.sequence_length
    planned = batch_sequences(spec.workload)
    if planned * length == asked:
        return []
    return [
        f"workload.global_batch_tokens {asked:g} is {asked / length:g} sequences; planned with {planned:,}, that is"
        f" {planned * length:,} tokens"
    ]


def _terms_on_offer(spec: ClusterSpec, catalog: Catalog, choice: Choice) -> list[str]:
    """What signing for a term would save; a training run is bought for its window."""
    if isinstance(spec.workload, TrainingWorkload) or spec.capacity.commitment != "none":
        return []
    place = (choice.provider, choice.region, choice.instance_type)
    known = [
        f"{term.discount:.1%} less for {term.term} ({term.usd_per_hour:,.4g} USD a node and hour)"
        for term in reserved_terms(catalog, place, choice.zone)
        if term.discount is not None and term.discount > 0
    ]
    if not known:
        return []
    return [f"signed for, what is reserved costs {' or '.join(known)}: capacity.commitment, compared by llmcluster mix"]


def _checkpoint_notes(spec: ClusterSpec, catalog: Catalog, best: Priced, choice: Choice) -> list[str]:
    failures, storage = best.candidate.failures, choice.shared_storage
    if failures is None:
        return []
    return checkpoint_notes(
        spec,
        catalog,
        failures,
        gpus=best.candidate.layout.gpus,
        spot_nodes=choice.purchase.spot_nodes,
        nic_gbit_per_s=best.machine.node.nic_gbit_per_s,
        storage=None if storage is None else (best.machine.provider, storage),
    )


def _data_notes(spec: ClusterSpec, best: Priced) -> list[str]:
    """What a data set loses to sequences, and what starting the nodes adds to a short fine-tuning run."""
    workload, performance = spec.workload, best.candidate.performance
    if not isinstance(workload, TrainingWorkload) or not isinstance(performance, TrainingPerformance):
        return []
    notes = []
    if workload.dataset is not None:
        data, length = workload.dataset, workload.sequence_length
        useful, computed = data.useful_tokens(length), data.computed_tokens(length)
        given = data.epochs * data.examples * sum(data.lengths) / len(data.lengths)
        cut = (
            ""
            if useful >= given
            else f"; {1 - useful / given:.0%} of the tokens are beyond sequence_length and cut off"
        )
        notes.append(
            f"workload.dataset is {useful:,.0f} tokens in all epochs; {computed:,.0f} pass through the model,"
            f" {1 - useful / computed:.0%} of them padding ({data.packing}){cut}"
        )
    hours, hourly = performance.days * 24, best.cost.usd_per_hour
    if workload.kind == "finetuning" and best.updates is None and hours < SHORT_RUN_H and hourly is not None:
        notes.append(
            f"starting the nodes takes {START_H * hourly:,.2f} USD beside the run, about {START_H:g} hours (estimate,"
            " 0.2 to 1)"
        )
    return notes


def _notes(
    spec: ClusterSpec, architecture: ModelArchitecture, catalog: Catalog, best: Priced, choice: Choice
) -> tuple[str, ...]:
    notes = list(architecture.warnings)
    storage = choice.shared_storage
    if storage is not None and storage.size_gib != storage.requested_gib:
        notes.append(
            f"storage.shared_tib asks for {storage.requested_gib:,.0f} GiB; {storage.sku}"
            f"{' with EFA' if spec.storage.lustre.efa else ''} is sold at"
            f" {storage.size_gib:,} GiB, the next legal size"
        )
    if spec.storage.scratch == "raid0" and not best.machine.nvme_disks and best.machine.provider != OWN:
        notes.append(f"{choice.instance_type} has no local NVMe disks: there is no scratch array")
    memory = best.candidate.memory
    if memory.total_bytes > memory.capacity_bytes:
        notes.append(
            f"the pinned layout does not fit: {memory.total_bytes / 2**30:.1f} GiB on the fullest GPU,"
            f" {memory.capacity_bytes / 2**30:.1f} GiB may be used"
        )
    notes += _missed_targets(spec, best) + _rounded_batch(spec) + _data_notes(spec, best)
    notes += _checkpoint_notes(spec, catalog, best, choice)
    if spec.capacity.block is not None and spec.capacity.block.reservation_id is None:
        notes.append(
            "the Capacity Block is not bought yet: the compute stack looks up what is on offer, and makes nodes once"
            " capacity.block.reservation_id names it"
        )
    if choice.purchase.reserved_nodes and best.machine.provider != OWN:
        commitment = catalog.provider_defaults(best.machine.provider).commitment_note
        notes += [commitment] if commitment else []
        notes += _terms_on_offer(spec, catalog, choice)
    if best.machine.provider != OWN:
        instance_type = catalog.instance_type(best.machine.provider, choice.instance_type)
        defaults = catalog.provider_defaults(best.machine.provider)
        notes += quota_notes(choice.purchase, instance_type, choice.region, defaults)
    published = architecture.published_precision
    if spec.precision.weights == "auto" and BITS_PER_VALUE[choice.weights] != BITS_PER_VALUE[published]:
        notes.append(f"weights are published in {published}; planned in {choice.weights}")
    return (*notes, *best.cost.notes)
