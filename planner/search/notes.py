"""Notes of a plan: roundings, assumptions and missed targets that a reviewer should read."""

from planner.cost.priced import Priced
from planner.cost.updates import START_H
from planner.market.zones import zone_notes
from planner.plan.plan import Choice, InferencePerformance, TrainingPerformance
from planner.purchase.terms import reserved_terms
from planner.reliability.checkpoint_notes import checkpoint_notes
from planner.search.quotas import quota_notes
from planner.serving.slo import SloLine, slo_lines
from planner.sizing.legal_layouts import batch_sequences
from planner.spec import ClusterSpec, InferenceWorkload, OwnReservation, TrainingWorkload
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.precision import BITS_PER_VALUE

SHORT_RUN_H = 5.0
"""Runs for which the start of the nodes is worth a note."""


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


def _own_reservation_notes(own: object, choice: Choice) -> list[str]:
    """How the nodes in a reservation of the user are billed, and what of it is left unused."""
    if not isinstance(own, OwnReservation):
        return []
    notes = [
        f"all nodes run in {own.name}, which exists already; they are billed at the on-demand rate or under its"
        " commitment, and AWS bills the reservation whether nodes run in it or not"
    ]
    unused = (own.instances or choice.nodes) - choice.nodes
    if unused > 0:
        notes.append(
            f"{unused} of the {own.instances} instances of the reservation are not used by this plan; AWS bills them"
            " too, and they are in no sum of this bill"
        )
    if own.placement_group is None and choice.multi_node:
        notes.append(
            "capacity.reservation.placement_group is not given: nodes are in no placement group, so that AWS decides"
            " how close together they stand. If the reservation was made in a placement group, name it"
        )
    if own.group is not None:
        notes.append(
            "a group of reservations that is full lets nodes start on demand outside of it (EC2 user guide); Terraform"
            " checks that the group exists, and not what its reservations hold"
        )
    return notes


def plan_notes(
    spec: ClusterSpec, architecture: ModelArchitecture, catalog: Catalog, best: Priced, choice: Choice
) -> tuple[str, ...]:
    """Everything about the chosen cluster that a reviewer should read, most basic first."""
    notes = list(architecture.warnings)
    storage = choice.shared_storage
    if storage is not None and storage.size_gib != storage.requested_gib:
        notes.append(
            f"storage.shared_tib asks for {storage.requested_gib:,.0f} GiB; {storage.sku}"
            f"{' with EFA' if spec.storage.lustre.efa else ''} is sold at"
            f" {storage.size_gib:,} GiB, the next legal size"
        )
    if spec.storage.scratch == "raid0" and not best.machine.nvme_disks and not best.machine.place.owned:
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
    place = best.machine.place
    if choice.purchase.reserved_nodes:
        commitment = place.defaults and place.defaults.commitment_note
        notes += [commitment] if commitment else []
        notes += _terms_on_offer(spec, catalog, choice)
    notes += _own_reservation_notes(spec.capacity.reservation, choice)
    if not place.owned:
        notes += zone_notes(spec, catalog, choice)
    notes += quota_notes(choice.purchase, place, choice.instance_type, choice.region)
    published = architecture.published_precision
    if spec.precision.weights == "auto" and BITS_PER_VALUE[choice.weights] != BITS_PER_VALUE[published]:
        notes.append(f"weights are published in {published}; planned in {choice.weights}")
    return (*notes, *best.cost.notes)
