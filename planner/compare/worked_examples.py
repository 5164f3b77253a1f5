"""Published claims about cost, recalculated from their parts, with the limits within which each holds."""

from typing import Final

from planner.compare.tco import OnPremCost, break_even_months, break_even_utilisation, on_prem_cost
from planner.plan.base import PlanModel
from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.on_prem import Level, OnPrem, OwnServer
from provider_catalog.units import HOURS_PER_YEAR

GUIDE_CLOUD_USD: Final = 120_000
GUIDE_ON_PREM_USD: Final = 85_000
GUIDE_GPUS: Final = 4
"""The hardware guide's 13B model for a year: 120,000 USD in the cloud on 4 A100, 85,000 on premises."""
AMD_CLAIM: Final = 0.20
"""The guide: AMD's accelerators cost 20 % less at equal compute."""
PEERS: Final = (("8 x MI300X", "DGX H100"), ("4 x MI250X", "DGX A100"))


class CloudRate(PlanModel):
    """Price of the same GPUs in the catalog."""

    instance_type: str
    region: str
    usd_per_gpu_hour: float
    usd_per_year: float
    """Cost of the four GPUs of the guide for all hours of a year."""
    as_of: str


class GuideExample(PlanModel):
    """The comparison of the guide for a 13B model in one year, recalculated."""

    cloud_usd: float
    cloud_usd_per_gpu_hour: float
    """Price of a GPU-hour at which four GPUs cost 120,000 USD in a year without pauses."""
    rates: tuple[CloudRate, ...]
    own: OnPremCost
    own_low_usd: float
    own_high_usd: float
    own_usd: float
    claimed_own_usd: float
    break_even_months: float | None
    break_even_utilisation: float
    """Share of hours in use below which the cloud costs less."""
    break_even_usd_per_gpu_hour: float
    staff_fte_at_break_even: float
    """Staff for the servers, in full-time positions, above which the cloud costs less."""


def guide_example(catalog: Catalog, on_prem: OnPrem) -> GuideExample:
    """Recalculates the comparison of the guide from its parts.

    Raises:
        CatalogError: the catalog has no server of four A100, or no price for it.
    """
    server = on_prem.server("half a DGX A100")
    low, own, high = (_priced_year(server, on_prem, level) for level in ("low", "expected", "high"))
    beside_updates = own.total_usd - own.model_updates_usd
    staff_usd = on_prem.staff_usd_per_year.value
    return GuideExample(
        cloud_usd=GUIDE_CLOUD_USD,
        cloud_usd_per_gpu_hour=GUIDE_CLOUD_USD / GUIDE_GPUS / HOURS_PER_YEAR,
        rates=_rates(catalog),
        own=own,
        own_low_usd=low.total_usd - low.model_updates_usd,
        own_high_usd=high.total_usd - high.model_updates_usd,
        own_usd=beside_updates,
        claimed_own_usd=GUIDE_ON_PREM_USD,
        break_even_months=break_even_months(own, GUIDE_CLOUD_USD),
        break_even_utilisation=break_even_utilisation(own, GUIDE_CLOUD_USD),
        break_even_usd_per_gpu_hour=beside_updates / GUIDE_GPUS / HOURS_PER_YEAR,
        staff_fte_at_break_even=(GUIDE_CLOUD_USD - beside_updates + own.staff_usd) / staff_usd,
    )


def _priced_year(server: OwnServer, on_prem: OnPrem, level: Level) -> OnPremCost:
    year = on_prem_cost(server, 1, on_prem, 1.0, level)
    if year is None:
        raise CatalogError(f"{server.name}: the comparison needs its price: set price_usd in on_prem.yaml")
    return year


def _rates(catalog: Catalog) -> tuple[CloudRate, ...]:
    rates = []
    for (provider, name), instance_type in sorted(catalog.instance_types.items()):
        region = catalog.provider_defaults(provider).default_region
        price = catalog.prices.instance(provider, region, name, "on-demand")
        if price is None or not instance_type.gpu.startswith("A100"):
            continue
        hourly = price.usd_per_hour / instance_type.gpus
        rates.append(
            CloudRate(
                instance_type=name,
                region=region,
                usd_per_gpu_hour=hourly,
                usd_per_year=hourly * GUIDE_GPUS * HOURS_PER_YEAR,
                as_of=price.provenance.as_of,
            )
        )
    return tuple(rates)


class PeerComparison(PlanModel):
    """An AMD server compared with an NVIDIA server at equal dense bf16 peak."""

    amd: str
    nvidia: str
    peak_ratio: float
    """Peak of the AMD server over that of the NVIDIA server."""
    amd_usd_per_year: float | None
    nvidia_usd_per_year: float
    cost_at_equal_peak: float | None
    """Cost ratio of AMD to NVIDIA at equal peak; the claim holds up to 0.8. None without a price."""
    efficiency_for_claim: float | None
    """Ratio of AMD's to NVIDIA's achieved fraction of peak at which the claim holds."""
    amd_price_for_claim_usd: float
    """Price of the AMD server in USD up to which the claim holds at equal peak."""


def peer_comparisons(catalog: Catalog, on_prem: OnPrem) -> tuple[PeerComparison, ...]:
    """Checks the claim of 20 % lower cost at equal compute for pairs of servers."""
    return tuple(_peers(catalog, on_prem, amd, nvidia) for amd, nvidia in PEERS)


def _peers(catalog: Catalog, on_prem: OnPrem, amd_name: str, nvidia_name: str) -> PeerComparison:
    amd, nvidia = on_prem.server(amd_name), on_prem.server(nvidia_name)
    peak = {server.name: server.gpus * catalog.gpu(server.gpu).peak_tflops["bf16"] for server in (amd, nvidia)}
    peak_ratio = peak[amd.name] / peak[nvidia.name]
    theirs = _priced_year(nvidia, on_prem, "expected")
    ours = on_prem_cost(amd, 1, on_prem, 1.0)
    # Staff and model updates are the same for both and would hide the difference in hardware cost.
    theirs_usd = theirs.total_usd - theirs.staff_usd - theirs.model_updates_usd
    ours_usd = None if ours is None else ours.total_usd - ours.staff_usd - ours.model_updates_usd
    allowed = (1 - AMD_CLAIM) * peak_ratio * theirs_usd
    ratio = None if ours_usd is None else ours_usd / theirs_usd / peak_ratio
    fixed = amd.max_power_kw.value * (
        on_prem.pue.value * on_prem.tariff_usd_per_kwh.value * HOURS_PER_YEAR
        + on_prem.colocation_usd_per_kw_month.value * 12
    )
    per_usd = (1 + on_prem.network_share.low) * (1 / on_prem.depreciation_years + on_prem.support_share.value)
    return PeerComparison(
        amd=amd.name,
        nvidia=nvidia.name,
        peak_ratio=peak_ratio,
        amd_usd_per_year=ours_usd,
        nvidia_usd_per_year=theirs_usd,
        cost_at_equal_peak=ratio,
        efficiency_for_claim=None if ratio is None else ratio / (1 - AMD_CLAIM),
        amd_price_for_claim_usd=(allowed - fixed) / per_usd,
    )
