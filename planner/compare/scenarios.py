"""Compares a scenario of the hardware guide with our plan: replay of its hardware, requirements, cost."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from planner.cost.bill import GB_PER_GIB
from planner.market.place import place_of
from planner.plan.base import PlanModel
from planner.plan.performance import InferencePerformance, TrainingPerformance
from planner.plan.plan import Plan
from planner.search.optimizer import plan
from planner.sizing.communication import HOP_LATENCY_S
from planner.spec import ClusterSpec, TrainingWorkload
from planner.spec.reader import read_spec
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.hardware import InstanceType
from provider_catalog.scenarios import Scenario

ZONE_ROUND_TRIP_MS = 2.0
"""Upper bound for the round trip inside one zone in ms. Estimate, 0.1 to 2: Azure states less than 2 ms between the
zones of a region (learn.microsoft.com, What are availability zones?), so it is no more within one; AWS states none."""
REPLAY_NIC_GBIT_PER_S = 100.0
"""Network of the replayed node in Gbit/s where the guide names no instance; a single node sends no tensors over it."""
UNKNOWN = "unknown: the catalog has no such instance"
ROOMY = 0.5
"""Share of GPU memory or of the load below which hardware counts as oversized."""


class RequirementCheck(PlanModel):
    """One requirement of the guide, checked on the replay and on our plan."""

    requirement: str
    asked: str
    replayed: str
    """Value on the hardware of the guide."""
    ours: str
    """Value in our plan."""
    replay_holds: bool | None
    """Whether the replay meets the requirement; None if unknown."""
    ours_holds: bool | None


class HardwareCost(PlanModel):
    """Hourly cost of some hardware."""

    what: str
    gpus: int
    usd_per_hour: float | None
    """On-demand price of the instances alone in USD an hour; None if unknown."""


class ScenarioComparison(PlanModel):
    """A scenario with its replay, our plan and the differences."""

    name: str
    title: str
    source: str
    reading: str
    replay: Plan
    ours: Plan
    checks: tuple[RequirementCheck, ...]
    guide_offer: HardwareCost
    our_offer: HardwareCost
    verdict: tuple[str, ...]


@dataclass(frozen=True)
class _PlanPair:
    """The replay and our plan, with their instance types."""

    replay: Plan
    ours: Plan
    replay_type: InstanceType | None
    """Instance type of the replay; the cheapest instance with the GPUs if the guide names none. None on premises."""
    our_type: InstanceType | None


def scenario_spec(scenario: Scenario) -> ClusterSpec:
    """Returns the spec of a scenario, which our search plans.

    Raises:
        SpecError: the spec of the scenario is wrong.
    """
    return read_spec(scenario.spec, f"scenario:{scenario.name}")


def compare_with_guide(scenario: Scenario, architecture: ModelArchitecture, catalog: Catalog) -> ScenarioComparison:
    """Replays the hardware of the guide through a pin, plans the scenario freely, and compares both.

    Raises:
        InfeasibleError: the model does not fit one of the two.
    """
    spec = scenario_spec(scenario)
    replay = plan(_replayed(spec, scenario), architecture, catalog)
    ours = plan(spec, architecture, catalog)
    guide_offer, sold = _guide_hardware(scenario, spec, catalog)
    pair = _PlanPair(replay, ours, _instance_type(replay, catalog) or sold, _instance_type(ours, catalog))
    our_offer = _planned_hardware(ours)
    return ScenarioComparison(
        name=scenario.name,
        title=scenario.title,
        source=scenario.source,
        reading=" ".join(scenario.reading.split()),
        replay=replay,
        ours=ours,
        checks=tuple(_checks(scenario, pair)),
        guide_offer=guide_offer,
        our_offer=our_offer,
        verdict=tuple(_verdict(scenario, pair, guide_offer, our_offer)),
    )


def _replayed(spec: ClusterSpec, scenario: Scenario) -> ClusterSpec:
    hardware = scenario.hardware
    document = spec.model_dump(mode="json", exclude_unset=True)
    pin: dict[str, object] = {"nodes": 1, "layout": dict(hardware.layout)}
    if hardware.instance_type is not None:
        pin["instance_type"] = hardware.instance_type
    else:
        pin["node"] = {"gpu": hardware.gpu, "gpus": hardware.gpus, "nic_gbit_per_s": REPLAY_NIC_GBIT_PER_S}
    return read_spec({**document, "pin": pin}, f"scenario:{scenario.name}, hardware")


def _instance_type(decided: Plan, catalog: Catalog) -> InstanceType | None:
    choice = decided.choice
    return place_of(choice.provider, catalog).instance_type(choice.instance_type)


def _checks(scenario: Scenario, pair: _PlanPair) -> Iterator[RequirementCheck]:
    asked = scenario.requirements
    replayed, found = pair.replay.performance, pair.ours.performance
    if isinstance(replayed, InferencePerformance) and isinstance(found, InferencePerformance):
        if asked.ttft_ms is not None:
            yield _at_most("first token", asked.ttft_ms, replayed.ttft_ms, found.ttft_ms)
        if asked.tpot_ms is not None:
            yield _at_most("time per output token", asked.tpot_ms, replayed.tpot_ms, found.tpot_ms)
    if asked.network_ms is not None:
        within = f"up to {ZONE_ROUND_TRIP_MS:g} ms in its zone (estimate)"
        holds = asked.network_ms >= ZONE_ROUND_TRIP_MS
        yield RequirementCheck(
            requirement="network round trip",
            asked=f"< {asked.network_ms:g} ms",
            replayed=within if pair.replay_type else UNKNOWN,
            ours=within,
            replay_holds=holds if pair.replay_type else None,
            ours_holds=holds,
        )
    if asked.rdma_ms is not None:
        (there, there_holds), (here, here_holds) = (
            _rdma(decided, kind, asked.rdma_ms)
            for decided, kind in ((pair.replay, pair.replay_type), (pair.ours, pair.our_type))
        )
        yield RequirementCheck(
            requirement="RDMA between nodes",
            asked=f"< {asked.rdma_ms:g} ms",
            replayed=there,
            ours=here,
            replay_holds=there_holds,
            ours_holds=here_holds,
        )
    if asked.nvme_gb is not None:
        yield _nvme(asked.nvme_gb, pair, "local NVMe a node", False)
    if asked.raid0:
        yield _nvme(asked.nvme_gb or 0, pair, "NVMe in RAID 0", True)
    if asked.lustre_gb is not None:
        sizes = [_lustre_gb(decided) for decided in (pair.replay, pair.ours)]
        yield RequirementCheck(
            requirement="shared Lustre",
            asked=f"{asked.lustre_gb:,.0f} GB",
            replayed=_size(sizes[0]),
            ours=_size(sizes[1]),
            replay_holds=None if sizes[0] is None else sizes[0] >= asked.lustre_gb,
            ours_holds=None if sizes[1] is None else sizes[1] >= asked.lustre_gb,
        )


def _at_most(name: str, asked_ms: float, replayed_ms: float, ours_ms: float) -> RequirementCheck:
    return RequirementCheck(
        requirement=name,
        asked=f"< {asked_ms:g} ms",
        replayed=f"{replayed_ms:.4g} ms",
        ours=f"{ours_ms:.4g} ms",
        replay_holds=replayed_ms < asked_ms,
        ours_holds=ours_ms < asked_ms,
    )


def _rdma(decided: Plan, kind: InstanceType | None, asked_ms: float) -> tuple[str, bool | None]:
    if kind is None:
        return UNKNOWN, None
    hop_ms = HOP_LATENCY_S["network"] * 1e3
    if not kind.rdma_cards:
        return f"{kind.fabric}, no RDMA", not decided.choice.multi_node
    needed = "" if decided.choice.multi_node else "; one node, so none crosses it"
    return f"{kind.fabric}, {hop_ms:g} ms a hop (estimate, 0.002 to 0.015){needed}", hop_ms < asked_ms


def _nvme(asked_gb: float, pair: _PlanPair, name: str, array: bool) -> RequirementCheck:
    def of(decided: Plan, kind: InstanceType | None) -> tuple[str, bool | None]:
        if kind is None:
            return UNKNOWN, None
        if array:
            striped = decided.spec.storage.scratch == "raid0" and kind.nvme_disks > 1
            return f"{kind.nvme_disks} disks, {decided.spec.storage.scratch}", striped
        return f"{kind.nvme_total_gb:,} GB on {kind.nvme_disks} of {kind.name}", kind.nvme_total_gb >= asked_gb

    (there, there_holds), (here, here_holds) = of(pair.replay, pair.replay_type), of(pair.ours, pair.our_type)
    return RequirementCheck(
        requirement=name,
        asked="striped" if array else f"{asked_gb:,.0f} GB",
        replayed=there,
        ours=here,
        replay_holds=there_holds,
        ours_holds=here_holds,
    )


def _lustre_gb(decided: Plan) -> float | None:
    storage = decided.choice.shared_storage
    return None if storage is None else storage.size_gib * GB_PER_GIB


def _size(size_gb: float | None) -> str:
    return "none" if size_gb is None else f"{size_gb:,.0f} GB"


def _guide_hardware(
    scenario: Scenario, spec: ClusterSpec, catalog: Catalog
) -> tuple[HardwareCost, InstanceType | None]:
    """Returns the cheapest instances with the GPUs of the guide, on demand in the regions of the spec."""
    hardware = scenario.hardware
    offers: list[tuple[HardwareCost, InstanceType]] = []
    for (provider, name), kind in sorted(catalog.instance_types.items()):
        if name != hardware.instance_type if hardware.instance_type else kind.gpu != hardware.gpu:
            continue
        count = ceil(hardware.gpus / kind.gpus)
        for region in spec.placement.regions or (catalog.provider_defaults(provider).default_region,):
            price = catalog.prices.instance(provider, region, name, "on-demand")
            if price is not None:
                what = f"{count} x {name} in {region}"
                offers.append(
                    (HardwareCost(what=what, gpus=count * kind.gpus, usd_per_hour=count * price.usd_per_hour), kind)
                )
    if not offers:
        return HardwareCost(what=f"{hardware.gpus} x {hardware.gpu}", gpus=hardware.gpus, usd_per_hour=None), None
    return min(offers, key=lambda offer: (offer[0].usd_per_hour, offer[0].what))


def _planned_hardware(ours: Plan) -> HardwareCost:
    compute = [item.usd_per_hour for item in ours.cost.items if item.role.startswith("compute")]
    known = [amount for amount in compute if amount is not None]
    what = f"{ours.choice.nodes} x {ours.choice.instance_type} in {ours.choice.region}"
    return HardwareCost(what=what, gpus=ours.choice.gpus, usd_per_hour=sum(known) if known else None)


def _verdict(scenario: Scenario, pair: _PlanPair, guide: HardwareCost, ours: HardwareCost) -> Iterator[str]:
    hardware, replay = scenario.hardware, pair.replay
    if guide.gpus > hardware.gpus:
        yield (
            f"{hardware.gpus} x {hardware.gpu} are not sold alone: {guide.what} has {guide.gpus},"
            f" of which {guide.gpus - hardware.gpus} stay idle"
        )
    memory = replay.memory_per_gpu
    weights = memory.weights_bytes / memory.capacity_bytes
    if memory.total_bytes > memory.capacity_bytes:
        missing_gib = (memory.total_bytes - memory.capacity_bytes) / 2**30
        yield f"undersized: each GPU needs {missing_gib:.1f} GiB more for the model and its working memory"
    elif isinstance(replay.performance, InferencePerformance) and weights < ROOMY:
        yield f"oversized in memory: weights take {weights:.0%} of the usable memory of each GPU"
    yield from _speed(pair)
    yield from _money(guide, ours)
    runs = pair.replay.cost.usd_per_run, pair.ours.cost.usd_per_run
    if runs[0] is not None and runs[1] is not None:
        yield f"the run costs {runs[0]:,.0f} USD on the guide's hardware, {runs[1]:,.0f} USD on ours"
    years = [side.updates.usd_per_year for side in (pair.replay, pair.ours) if side.updates is not None]
    if len(years) == 2 and years[0] is not None and years[1] is not None:
        yield f"a year of updates costs {years[0]:,.0f} USD on the guide's hardware, {years[1]:,.0f} USD on ours"


def _speed(pair: _PlanPair) -> Iterator[str]:
    replayed, found, workload = pair.replay.performance, pair.ours.performance, pair.ours.spec.workload
    if isinstance(replayed, InferencePerformance) and isinstance(found, InferencePerformance):
        # Both fleets are compared at the same latency, that of the SLO.
        ratio = replayed.max_concurrency / max(1, found.max_concurrency)
        sized = "oversized" if ratio > 1 / ROOMY else "undersized" if ratio < ROOMY else "the right size"
        yield (
            f"{sized} in load: {replayed.max_concurrency} concurrent requests at the SLO,"
            f" {found.max_concurrency} in our plan"
        )
    elif isinstance(replayed, TrainingPerformance) and isinstance(workload, TrainingWorkload):
        share = replayed.days / workload.deadline_days
        sized = "undersized" if share > 1 else "oversized" if share < ROOMY else "the right size"
        yield f"{sized} in time: the run takes {replayed.days:.1f} of {workload.deadline_days:g} days"


def _money(guide: HardwareCost, ours: HardwareCost) -> Iterator[str]:
    if guide.usd_per_hour is None or ours.usd_per_hour is None:
        yield "the costs cannot be compared: one of the two has no known price"
        return
    ratio = guide.usd_per_hour / ours.usd_per_hour
    yield (
        f"the guide costs {guide.usd_per_hour:,.2f} USD/h ({guide.what}), ours {ours.usd_per_hour:,.2f} USD/h"
        f" ({ours.what}): {ratio:.1f} times our cost"
    )
