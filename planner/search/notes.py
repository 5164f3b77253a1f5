"""Notes of a plan for its reviewer: rounding, assumptions and missed targets."""

from planner.cost.priced import Priced
from planner.cost.updates import START_H
from planner.market.zones import zone_notes
from planner.plan.choice import Choice
from planner.plan.performance import InferencePerformance, TrainingPerformance
from planner.purchase.terms import reserved_terms
from planner.reliability.checkpoint_notes import checkpoint_notes
from planner.search.quotas import quota_notes
from planner.search.spot_advice import no_spot_reason
from planner.serving.slo import SloLine, slo_lines
from planner.sizing.legal_layouts import batch_sequences
from planner.spec import ClusterSpec, InferenceWorkload, OwnReservation, TrainingWorkload
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.precision import BITS_PER_VALUE

SHORT_RUN_H = 5.0
"""Duration in hours below which a run gets a note on the time to start its nodes."""


def _missed_targets(spec: ClusterSpec, best: Priced) -> list[str]:
    """Returns the targets that a pinned configuration misses; a free search returns only plans that meet them."""
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
        return f"{line.name}{statistic} grows without limit at this request rate; the SLO is {line.asked_ms:g} ms"
    return f"{line.name}{statistic} is {line.predicted_ms:.4g} ms; the SLO is {line.asked_ms:g} ms"


def _rounded_batch(spec: ClusterSpec) -> list[str]:
    if not isinstance(spec.workload, TrainingWorkload):
        return []
    asked, length = spec.workload.global_batch_tokens, spec.workload.sequence_length
    planned = batch_sequences(spec.workload)
    if planned * length == asked:
        return []
    return [
        f"workload.global_batch_tokens {asked:g} is {asked / length:g} sequences; the plan uses {planned:,} sequences,"
        f" which are {planned * length:,} tokens"
    ]


def _commitment_notes(spec: ClusterSpec, catalog: Catalog, choice: Choice) -> list[str]:
    """Returns a note on what commitments would save for a serving fleet without one."""
    if isinstance(spec.workload, TrainingWorkload) or spec.capacity.commitment != "none":
        return []
    place = (choice.provider, choice.region, choice.instance_type)
    known = [
        (term.term, f"by {term.discount:.1%} ({term.usd_per_hour:,.4g} USD a node-hour)")
        for term in reserved_terms(catalog, place, choice.zone)
        if term.discount is not None and term.discount > 0
    ]
    if not known:
        return []
    (first, saving), *longer = known
    cuts = f"a {first} commitment cuts the cost of reserved nodes {saving}"
    also = "".join(f", a {term} commitment {saving}" for term, saving in longer)
    return [f"{cuts}{also}: set capacity.commitment, and compare with llmcluster mix"]


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
    """Returns notes on padding and truncation of the data set, and on the start of the nodes of a short run."""
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
            else f"; {1 - useful / given:.0%} of the tokens exceed sequence_length and are cut off"
        )
        notes.append(
            f"workload.dataset has {useful:,.0f} tokens in all epochs; {computed:,.0f} pass through the model, of which"
            f" {1 - useful / computed:.0%} are padding ({data.packing}){cut}"
        )
    hours, hourly = performance.days * 24, best.cost.usd_per_hour
    if workload.kind == "finetuning" and best.updates is None and hours < SHORT_RUN_H and hourly is not None:
        notes.append(
            f"starting the nodes adds about {START_H:g} hours (estimate, 0.2 to 1) and {START_H * hourly:,.2f} USD to"
            " the run"
        )
    return notes


def _no_shared_storage(spec: ClusterSpec, best: Priced, choice: Choice) -> list[str]:
    """Return the note that says where weights, data and checkpoints live without a shared file system."""
    defaults = best.machine.place.defaults
    if choice.shared_storage is not None or defaults is None:
        return []
    local = "its root disk" if choice.root_disk == "ephemeral" else f"its root disk of {choice.root_disk_gib:,} GiB"
    if choice.scratch == "raid0":
        local = f"its local NVMe disks ({'emptyDir volumes' if spec.orchestrator == 'kubernetes' else '/scratch'})"
    objects = "the object store" if defaults.object_store is None else defaults.object_store.name
    kept = "weights" if spec.workload.kind == "inference" else "weights and data"
    checkpoints = "" if spec.workload.kind == "inference" else f"; checkpoints are written to {objects}"
    return [
        f"storage.shared_tib is 0: no shared file system is built; {kept} are kept in {objects}, and each node copies"
        f" what it needs to {local}, empty on a new node{checkpoints}"
    ]


def _image(spec: ClusterSpec, best: Priced) -> list[str]:
    """Return the note that says which image nodes start from, where a spec may choose it."""
    defaults = best.machine.place.defaults
    if defaults is None or "image-id" not in defaults.features:
        return []
    if spec.image_id is not None:
        return [f"image: every node starts from {spec.image_id}"]
    if spec.orchestrator != "none":
        return []
    return ["image: a node starts from the newest image at that time; image_id gives all nodes the same one"]


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
    """Returns the notes on the chosen cluster, the most basic first."""
    notes = list(architecture.warnings)
    storage = choice.shared_storage
    if storage is not None and storage.size_gib != storage.requested_gib:
        notes.append(
            f"storage.shared_tib asks for {storage.requested_gib:,.0f} GiB; {storage.sku}"
            f"{' with EFA' if spec.storage.lustre.efa else ''} is sold at"
            f" {storage.size_gib:,} GiB, the next purchasable size"
        )
    notes += _no_shared_storage(spec, best, choice) + _image(spec, best)
    if spec.storage.scratch == "raid0" and not best.machine.nvme_disks and not best.machine.place.owned:
        notes.append(f"{choice.instance_type} has no local NVMe disks, so there is no scratch array")
    memory = best.candidate.memory
    if memory.total_bytes > memory.capacity_bytes:
        notes.append(
            f"the pinned layout does not fit: the fullest GPU needs {memory.total_bytes / 2**30:.1f} GiB,"
            f" of which {memory.capacity_bytes / 2**30:.1f} GiB are usable"
        )
    notes += _missed_targets(spec, best) + _rounded_batch(spec) + _data_notes(spec, best)
    notes += _checkpoint_notes(spec, catalog, best, choice)
    if spec.capacity.block is not None and spec.capacity.block.reservation_id is None:
        notes.append(
            "the Capacity Block is not purchased by Terraform: buy it and set capacity.block.reservation_id. Until then"
            " the compute stack only looks up the blocks on offer and creates no nodes"
        )
    no_spot = no_spot_reason(spec, catalog, best)
    notes += [no_spot] if no_spot else []
    place = best.machine.place
    if choice.purchase.reserved_nodes:
        commitment = place.defaults and place.defaults.commitment_note
        notes += [commitment] if commitment else []
        notes += _commitment_notes(spec, catalog, choice)
    notes += _own_reservation_notes(spec.capacity.reservation, choice)
    if not place.owned:
        notes += zone_notes(spec, catalog, choice)
    notes += quota_notes(choice.purchase, place, choice.instance_type, choice.region)
    published = architecture.published_precision
    if spec.precision.weights == "auto" and BITS_PER_VALUE[choice.weights] != BITS_PER_VALUE[published]:
        notes.append(f"weights are published in {published}; the plan uses {choice.weights}")
    return (*notes, *best.cost.notes)
