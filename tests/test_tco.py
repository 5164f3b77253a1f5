"""Owning against renting, and published costs, energy and emissions of known runs."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from llmcluster.cli import cli
from planner.compare.tco import break_even_months, co2_tonnes, electricity_kwh, on_prem_cost
from planner.compare.worked_examples import guide_example, peer_comparisons
from planner.plan.plan import Plan
from planner.search.optimizer import plan as make_plan
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from provider_catalog.on_prem import OwnServer, load_on_prem
from provider_catalog.units import HOURS_PER_YEAR

CATALOG = Catalog.load()
ON_PREM = load_on_prem(CATALOG)
A100_KW = 0.4


def run_of(gpu: str, nodes: int, usd_per_gpu_hour: float, tokens: float = 1e9) -> Plan:
    spec = read_spec(
        {
            "name": "published",
            "model": "meta-llama/Llama-2-7b-hf",
            "workload": {"kind": "training", "tokens": tokens, "global_batch_tokens": 1048576, "deadline_days": 3650},
            "pin": {
                "node": {"gpu": gpu, "gpus": 8, "nic_gbit_per_s": 1600, "usd_per_hour": 8 * usd_per_gpu_hour},
                "nodes": nodes,
            },
        },
        "published",
    )
    return make_plan(spec, load_model("meta-llama/Llama-2-7b-hf"), CATALOG)


@pytest.mark.parametrize(
    ("run", "gpu", "gpu_hours", "usd_per_gpu_hour", "low_usd", "high_usd"),
    [
        # DeepSeek-V3 report, arXiv 2412.19437, Table 1: 2.788 M H800 hours at 2 USD are 5.576 M USD
        ("DeepSeek-V3", "H800", 2_788_000, 2.0, 5_576_000, 5_576_000),
        # BLOOM, arXiv 2211.05100 (1,082,990 A100 hours); model card: "equivalent of 2-5 M USD in cloud computing"
        ("BLOOM", "A100", 1_082_990, 2.0, 2e6, 5e6),
        ("BLOOM", "A100", 1_082_990, 4.1, 2e6, 5e6),
        # MPT-7B, MosaicML 2023-05-05: 440 A100-40GB for 9.5 days, about 200,000 USD, which is 2 USD a GPU hour
        ("MPT-7B", "A100-40GB", 440 * 9.5 * 24, 2.0, 195_000, 205_000),
        # Llama 2, arXiv 2307.09288, Table 2: 3,311,616 A100 hours for four sizes
        ("Llama 2", "A100", 184_320 + 368_640 + 1_038_336 + 1_720_320, 1.0, 3_311_616, 3_311_616),
    ],
)
def test_published_hours_cost_what_was_published(
    run: str, gpu: str, gpu_hours: float, usd_per_gpu_hour: float, low_usd: float, high_usd: float
) -> None:
    plan = run_of(gpu, 8, usd_per_gpu_hour)
    performance, cost = plan.performance, plan.cost
    assert performance.kind == "training"
    assert cost.usd_per_run is not None
    # Our bill of a run is nodes x price x hours: scaled to the published hours it is the published sum
    usd = cost.usd_per_run * gpu_hours / performance.gpu_hours
    assert low_usd * (1 - 1e-9) <= usd <= high_usd * (1 + 1e-9), run


@pytest.mark.parametrize(
    ("gpu_hours", "watts", "tonnes"),
    # Llama 2, arXiv 2307.09288, Table 2, rows 7B to 70B: hours, power and emissions, without the data centre's PUE
    [(184_320, 400, 31.22), (368_640, 400, 62.44), (1_038_336, 350, 153.90), (1_720_320, 400, 291.42)],
)
def test_emissions_of_llama_2_are_those_of_its_paper(gpu_hours: int, watts: float, tonnes: float) -> None:
    kwh = electricity_kwh(watts / 1000, 1.0, 1.0, gpu_hours)
    # One factor explains all four rows: 0.4235 kg a kWh
    assert co2_tonnes(kwh, 0.4235) == pytest.approx(tonnes, rel=1e-3)


def test_energy_and_emissions_of_bloom_are_those_of_its_paper() -> None:
    # Luccioni et al. 2022, arXiv 2211.02001, sections 4.2 and 4.3: 1,082,990 hours at 400 W are 433,196 kWh, at 57 g
    # CO2 a kWh 24.69 t
    kwh = electricity_kwh(A100_KW, 1.0, 1.0, 1_082_990)
    assert kwh == pytest.approx(433_196, abs=1)
    assert co2_tonnes(kwh, 0.057) == pytest.approx(24.69, abs=0.01)


def test_the_guides_13b_model_from_its_parts() -> None:
    # The hardware guide, section 5.1: 120,000 USD a year in the cloud on 4 A100, 85,000 on servers of one's own
    found = guide_example(CATALOG, ON_PREM)
    assert found.cloud_usd_per_gpu_hour == pytest.approx(120_000 / (4 * 8760))
    assert min(rate.usd_per_year for rate in found.rates) < 120_000 < max(rate.usd_per_year for rate in found.rates)
    assert found.own_usd == pytest.approx(85_000, rel=0.05)
    assert found.own_low_usd < 85_000 < found.own_high_usd
    own = found.own
    parts = own.depreciation_usd + own.support_usd + own.electricity_usd + own.colocation_usd + own.staff_usd
    assert found.own_usd == pytest.approx(parts)
    assert found.break_even_utilisation == pytest.approx(found.own_usd / 120_000)
    # At exactly the staff of the break-even the two sides cost the same
    more = (found.staff_fte_at_break_even * ON_PREM.staff_usd_per_year.value) - own.staff_usd
    assert found.own_usd + more == pytest.approx(120_000)


def test_electricity_is_power_pue_tariff_and_utilisation() -> None:
    server = ON_PREM.server("DGX H100")
    year = on_prem_cost(server, 3, ON_PREM, 0.5)
    assert year is not None
    kwh = 3 * 10.2 * 1.56 * 0.5 * 8760
    assert year.kwh == pytest.approx(kwh)
    assert year.electricity_usd == pytest.approx(kwh * ON_PREM.tariff_usd_per_kwh.value)
    assert year.depreciation_usd == pytest.approx(year.purchase_usd / 3)


@given(
    servers=st.integers(1, 200),
    utilisation=st.floats(0, 1),
    server=st.sampled_from([server for server in ON_PREM.servers if server.price_usd is not None]),
)
def test_low_expected_and_high_are_in_order_and_more_costs_more(
    servers: int, utilisation: float, server: OwnServer
) -> None:
    low, expected, high = (
        on_prem_cost(server, servers, ON_PREM, utilisation, level) for level in ("low", "expected", "high")
    )
    assert low is not None and expected is not None and high is not None
    assert low.total_usd <= expected.total_usd <= high.total_usd
    more = on_prem_cost(server, servers + 1, ON_PREM, utilisation)
    assert more is not None
    assert more.total_usd > expected.total_usd


@given(st.floats(1e4, 1e7))
def test_breaking_even_is_where_the_sums_meet(cloud_usd: float) -> None:
    own = on_prem_cost(ON_PREM.server("DGX H100"), 2, ON_PREM, 1.0)
    assert own is not None
    months = break_even_months(own, cloud_usd)
    saved = cloud_usd + own.model_updates_usd - own.running_usd
    if months is None:
        assert saved <= 0
    else:
        assert own.purchase_usd == pytest.approx(saved / 12 * months)


def test_a_price_that_nobody_publishes_stays_unknown() -> None:
    server = ON_PREM.server("4 x MI250X")
    assert on_prem_cost(server, 1, ON_PREM, 1.0) is None
    mi300x, mi250x = peer_comparisons(CATALOG, ON_PREM)
    assert mi250x.cost_at_equal_peak is None
    # At the price named, the server costs exactly 80 % of NVIDIA's for the same peak
    priced = server.model_copy(
        update={"price_usd": ON_PREM.server("DGX A100").max_power_kw.model_copy(
            update={"value": mi250x.amd_price_for_claim_usd, "high": 1e9, "low": 0.0})}
    )  # fmt: skip
    year = on_prem_cost(priced, 1, ON_PREM, 1.0)
    assert year is not None
    hardware = year.total_usd - year.staff_usd - year.model_updates_usd
    assert hardware / mi250x.nvidia_usd_per_year / mi250x.peak_ratio == pytest.approx(0.8)
    # Data sheets: 1307.4 and 989.4 dense bf16 TFLOP/s
    assert mi300x.peak_ratio == pytest.approx(1307.4 / 989.4)
    assert mi300x.efficiency_for_claim == pytest.approx((mi300x.cost_at_equal_peak or 0) / 0.8)


def compare(*arguments: str) -> Any:
    done = CliRunner().invoke(cli, ["compare", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


CLUSTERS = Path(__file__).parent.parent / "clusters"


def test_a_service_is_compared_for_a_year_everywhere() -> None:
    found = compare(str(CLUSTERS / "deepseek-r1-serving.yaml"), "--co2", "fr")["comparison"]
    options = {option["name"]: option for option in found["options"]}
    assert {"aws", "azure"} <= set(options)
    assert sum(option["own"] for option in options.values()) == len(ON_PREM.servers)
    assert found["period"] == "year"
    for option in options.values():
        if option["usd"] is not None:
            assert option["low_usd"] <= option["usd"] <= option["high_usd"]
            assert option["co2_tonnes"] == pytest.approx(option["kwh"] * 0.041 / 1000)
    # A100 has no FP8 tensor cores: Marlin widens the weights (vLLM documentation, FP8 W8A8), which takes more servers
    assert options["DGX A100, own"]["feasible"]
    own = options["DGX H100, own"]
    assert own["break_even_months"] > 0


def test_a_run_is_charged_for_its_days() -> None:
    found = compare(str(CLUSTERS / "llama-65b-training.yaml"))["comparison"]
    own = next(option for option in found["options"] if option["name"] == "DGX A100, own")
    cost = own["own_cost"]
    parts = ("depreciation", "support", "electricity", "colocation", "staff", "model_updates")
    yearly = sum(cost[f"{part}_usd"] for part in parts)
    assert own["usd"] == pytest.approx(yearly * own["days"] * 24 / HOURS_PER_YEAR)
    unknown = next(option for option in found["options"] if option["name"] == "4 x MI250X, own")
    assert unknown["usd"] is None
    assert unknown["own_cost"] is None


def test_the_command_says_what_it_needs() -> None:
    assert CliRunner().invoke(cli, ["compare"]).exit_code == 2
    wrong = CliRunner().invoke(cli, ["compare", str(CLUSTERS / "quickstart.yaml"), "--co2", "atlantis"])
    assert wrong.exit_code == 2
    assert "fr" in wrong.stderr
    text = CliRunner().invoke(cli, ["compare", "--guide", "--peers"])
    assert text.exit_code == 0
    assert "own servers break even: after" in text.stdout
    assert "the server has no public price" in text.stdout
