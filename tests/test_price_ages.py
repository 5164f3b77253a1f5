"""The age of prices counts: comparisons say when it differs, old prices can be refused, and a check fails in CI."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmcluster.cli import cli
from llmcluster.price_age import recent, refuse_old_prices
from planner.compare.plan_diff import diff_plans
from planner.cost.price_ages import compute_as_of, price_ages
from planner.errors import InfeasibleError, SpecError
from planner.plan.plan import Plan
from planner.search.optimizer import plan
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from provider_catalog.price_dates import STALE_DAYS, days_apart, first_day, oldest
from provider_catalog.price_overlay import read_overlay

CATALOG = Catalog.packaged()
MODEL = "mistralai/Mistral-7B-v0.1"
ARCHITECTURE = load_model(MODEL)


@pytest.fixture(autouse=True)
def packaged_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCLUSTER_PRICES", "none")


def service(regions: list[str], catalog: Catalog = CATALOG, **fields: Any) -> Plan:
    document = {"name": "aged", "model": MODEL, "workload": {"kind": "inference"}, "placement": {"regions": regions}}
    return plan(read_spec({**document, **fields}, "spec"), ARCHITECTURE, catalog)


def spec_file(folder: Path, regions: list[str], **placement: Any) -> str:
    path = folder / "spec.yaml"
    document = {
        "name": "aged",
        "model": MODEL,
        "workload": {"kind": "inference"},
        "placement": {"regions": regions, **placement},
    }
    path.write_text(json.dumps(document))
    return str(path)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, list(arguments))


@pytest.mark.parametrize(
    ("dates", "apart", "first"),
    [
        (["2026-07-20", "2026-09-25"], 67, "2026-07-20"),
        (["2024", "2026-09-06"], 979, "2024"),  # a year counts from its first day
        (["2025-10", "2025-10-20"], 19, "2025-10"),
        (["lately", "2026"], 0, "2026"),
        ([], 0, None),
    ],
)
def test_dates_are_compared_by_the_first_day_that_they_admit(dates: list[str], apart: int, first: str | None) -> None:
    assert days_apart(dates) == apart
    assert oldest(dates) == first


def test_a_comparison_of_prices_of_different_age_names_both_dates() -> None:
    words = price_ages({"old": "2024", "new": "2026-09-06", "unknown": None})
    assert words is not None
    assert "979 days apart: old dates from 2024, new from 2026-09-06" in words
    assert price_ages({"old": "2026-03-10", "new": "2026-09-06"}) is None  # 180 days
    assert price_ages({"old": "2026-03-09", "new": "2026-09-06"}) is not None


def test_a_plan_over_regions_whose_prices_differ_in_age_says_so_first() -> None:
    decided = service(["us-east-1", "us-west-2"])
    dates = {compute_as_of(decided.cost), *(other.price_as_of for other in decided.alternatives)}
    assert days_apart(as_of for as_of in dates if as_of) > STALE_DAYS
    assert "days apart" in decided.notes[0]
    alone = service(["us-east-1"])
    assert not any("days apart" in note for note in alone.notes)


def test_the_screen_says_it_above_the_decision(tmp_path: Path) -> None:
    printed = run("plan", spec_file(tmp_path, ["us-east-1", "us-west-2"])).stdout
    assert "days apart" in printed
    assert printed.index("days apart") < printed.index("  Buy  ")


@pytest.mark.slow
def test_a_difference_between_plans_of_different_age_says_so() -> None:
    found = diff_plans(service(["us-west-2"]), service(["us-east-1"]))
    assert found.price_ages is not None
    assert "the plan before dates from 2025-10" in found.price_ages
    assert diff_plans(service(["us-east-1"]), service(["us-east-1"])).price_ages is None


@pytest.mark.slow
def test_mix_and_compare_say_it_at_their_head(tmp_path: Path) -> None:
    in_two_markets = spec_file(tmp_path, ["us-east-1"], instance_types=["p5.48xlarge"])
    head, _, _ = run("mix", in_two_markets).stdout.partition("price of a node-hour")
    assert "days apart" in head
    spec = spec_file(tmp_path, ["us-east-1"])
    compared = json.loads(run("compare", spec, "--json").stdout)["comparison"]
    dates = {option["price_as_of"] for option in compared["options"] if option["price_as_of"]}
    assert (days_apart(dates) > STALE_DAYS) is (compared["price_ages"] is not None)


def test_old_prices_offer_nothing_and_the_refusal_names_their_date() -> None:
    with pytest.raises(InfeasibleError) as refused:
        service(["us-west-2"], CATALOG.since(date(2026, 1, 1)))
    assert all("dates from 2025-" in near_miss.reason for near_miss in refused.value.nearest)


def test_a_newer_price_elsewhere_wins_over_a_refused_one() -> None:
    both = ["us-east-1", "us-west-2"]
    decided = service(both, CATALOG.since(date(2026, 1, 1)))
    assert decided.choice.region == "us-east-1"
    assert {other.region for other in decided.alternatives} == {"us-east-1"}


def test_a_bound_on_the_age_is_part_of_the_version_of_the_catalog() -> None:
    assert CATALOG.since(date(2026, 1, 1)).version != CATALOG.version


def test_negotiated_prices_hold_for_their_term(tmp_path: Path) -> None:
    overlay = tmp_path / "negotiated.yaml"
    overlay.write_text(
        "source: Enterprise agreement\nas_of: 2024-01-01\nprices:\n"
        "  - {provider: aws, region: us-west-2, instance_type: g6e.xlarge, option: on-demand, usd_per_hour: 1.5}\n"
    )
    priced = CATALOG.under(read_overlay(overlay, CATALOG)).since(date(2026, 1, 1))
    decided = service(["us-west-2"], priced)
    assert decided.choice.instance_type == "g6e.xlarge"
    refuse_old_prices(decided, priced)


def test_a_plan_made_before_is_refused_for_its_age() -> None:
    made = service(["us-west-2"])
    with pytest.raises(InfeasibleError, match=r"dates from 2025-1.*from before 2026-01-01"):
        refuse_old_prices(made, CATALOG.since(date(2026, 1, 1)))
    refuse_old_prices(made, CATALOG)


def test_a_pinned_type_with_an_old_price_is_refused() -> None:
    priced = CATALOG.since(date(2026, 1, 1))
    pinned = service(["us-west-2"], priced, pin={"instance_type": "g6e.xlarge"})
    assert pinned.cost.usd_per_hour is None
    with pytest.raises(InfeasibleError, match="too old"):
        refuse_old_prices(pinned, priced)


def test_other_lines_that_are_too_old_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    priced = CATALOG.since(date(2026, 1, 1))
    refuse_old_prices(service(["us-east-1"], priced), priced)
    said = capsys.readouterr().err
    assert "other lines of the bill use prices from before 2026-01-01" in said
    assert "encryption key" in said


@pytest.mark.parametrize(("days", "code"), [("0", 3), ("0d", 3), ("99999", 0), ("x", 2), ("-1", 2), ("1.5", 2)])
def test_the_option_takes_days(tmp_path: Path, days: str, code: int) -> None:
    result = run("plan", spec_file(tmp_path, ["us-east-1"]), "--json", "--max-price-age", days)
    assert result.exit_code == code, result.output


def test_a_clock_before_the_newest_price_is_refused() -> None:
    newest = first_day(CATALOG.prices_as_of)
    assert newest is not None
    with pytest.raises(SpecError, match="the clock of this machine says"):
        recent(CATALOG, 90, newest - timedelta(days=1))
    assert recent(CATALOG, 90, newest).prices_since == newest - timedelta(days=90)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--max-age", "0"], 5),
        (["--max-age", "99999"], 0),
        (["--provider", "azure", "--what", "prices", "--max-age", "99999"], 0),
        (["--provider", "azure", "--what", "prices", "--max-age", "0"], 5),
        (["--provider", "azur"], 2),
        (["--what", "nothing"], 2),
    ],
)
def test_the_check_fails_in_ci_when_the_snapshot_is_too_old(options: list[str], code: int) -> None:
    result = run("catalog", "refresh", "--check", *options)
    assert result.exit_code == code, result.output


def test_the_check_counts_each_price_once_and_asks_nobody() -> None:
    result = run("catalog", "refresh", "--check", "--json", "--max-age", "0", "--what", "prices,spot")
    rows = json.loads(result.stdout)
    assert {row["priced"] for row in rows} >= {"on-demand", "spot"}
    for row in rows:
        same = [p for p in CATALOG.instance_prices if (p.provider, p.option) == (row["provider"], row["priced"])]
        assert row["prices"] == row["too_old"] == len(same)
        assert row["oldest"] == oldest(price.provenance.as_of for price in same)


def test_a_limit_without_the_check_is_refused() -> None:
    result = run("catalog", "refresh", "--max-age", "90")
    assert result.exit_code == 2
    assert "--max-age is the limit of --check" in result.stderr
