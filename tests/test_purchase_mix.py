"""Purchase policies, the simulated year that compares them, and demand traces."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from llmcluster.cli import cli
from planner.errors import SpecError
from planner.purchase.mix import BUSINESS_HOURS
from planner.purchase.policy import (
    BASELINE_POLICIES,
    POLICIES,
    Demand,
    Rates,
    Shares,
    optimal,
    spot_lost_share,
    tiered,
    usd_per_hour,
)
from planner.purchase.simulation import simulate_run, simulate_year
from planner.reliability.recovery import SERVING_RESTART_S
from planner.reliability.spot_reclaims import SPOT_RECLAIMS_PER_NODE_HOUR
from planner.reliability.young_daly import best_timing, time_shares
from planner.workspace.demand_file import read_demand
from planner.workspace.specs import load_spec

traces = st.lists(st.floats(0, 1), min_size=24, max_size=24).filter(any).map(lambda day: [x / max(day) for x in day])
prices = st.builds(
    lambda on_demand, reserved, spot, nodes: Rates(
        on_demand=nodes * on_demand,
        reserved=None if reserved is None else nodes * on_demand * reserved,
        spot=None if spot is None else nodes * on_demand * spot,
        spot_lost_share=spot_lost_share(nodes),
    ),
    st.floats(1, 100),
    st.none() | st.floats(0.2, 1),
    st.none() | st.floats(0.1, 1.2),
    st.integers(1, 16),
)


@given(trace=traces, rates=prices, units=st.integers(1, 12))
def test_optimal_is_the_cheapest_of_all_mixes_that_keep_the_share_of_spot(
    trace: list[float], rates: Rates, units: int
) -> None:
    demand = Demand.of(trace, units)
    chosen = optimal(demand, rates)
    cost = usd_per_hour(chosen, demand, rates)
    for reserved in range((units if rates.reserved is not None else 0) + 1):
        for spot in range((units // 2 if rates.spot is not None else 0) + 1):
            if reserved + spot <= units:
                other = Shares(reserved, spot, units - reserved - spot)
                assert cost <= usd_per_hour(other, demand, rates) * (1 + 1e-9)


@given(trace=traces, rates=prices, units=st.integers(1, 100), name=st.sampled_from([*POLICIES, *BASELINE_POLICIES]))
def test_shares_sum_to_the_fleet(trace: list[float], rates: Rates, units: int, name: str) -> None:
    shares = {**POLICIES, **BASELINE_POLICIES}[name](Demand.of(trace, units), rates)
    assert shares.reserved + shares.spot + shares.on_demand == units
    assert min(shares.reserved, shares.spot, shares.on_demand) >= 0


def test_tiers_lie_where_the_guide_draws_them() -> None:
    # Spot below half of demand, reserved below 80 %, on-demand above
    demand = Demand.of(BUSINESS_HOURS, 20)
    assert tiered(demand, Rates(on_demand=10, reserved=6, spot=3)) == Shares(reserved=6, spot=10, on_demand=4)
    # What is not on sale goes to the next tier
    assert tiered(demand, Rates(on_demand=10, reserved=6, spot=None)) == Shares(16, 0, 4)
    assert tiered(demand, Rates(on_demand=10, reserved=None, spot=3)) == Shares(0, 10, 10)


def test_the_simulated_year_is_the_expected_one_and_repeats() -> None:
    demand = Demand.of(BUSINESS_HOURS, 40)
    rates = Rates(on_demand=80, reserved=48, spot=24, spot_lost_share=spot_lost_share(8))
    shares = Shares(10, 20, 10)
    year = simulate_year(demand, shares, rates, 8, seed=1)
    assert year == simulate_year(demand, shares, rates, 8, seed=1)
    assert year.usd == pytest.approx(8760 * usd_per_hour(shares, demand, rates), rel=1e-3)
    # 60 of 168 hours at full load: business hours of five days
    spot_hours = 8760 * 20 * 60 / 168
    expected = spot_hours * 8 * SPOT_RECLAIMS_PER_NODE_HOUR
    assert year.interruptions == pytest.approx(expected, abs=4 * expected**0.5)
    assert year.lost_unit_hours == pytest.approx(year.interruptions * SERVING_RESTART_S / 3600, rel=0.01)


def test_a_simulated_gang_takes_what_young_and_daly_say() -> None:
    work_hours, mtbf_hours = 4000.0, 12.0
    timing = best_timing(stall_s=60, restart_s=900, lag_s=200, mtbf_s=mtbf_hours * 3600)
    hours = [simulate_run(work_hours, mtbf_hours, timing, seed).hours for seed in range(8)]
    mean = sum(hours) / len(hours)
    assert work_hours / mean == pytest.approx(time_shares(timing, mtbf_hours * 3600).useful, abs=0.003)
    assert simulate_run(work_hours, mtbf_hours / 2, timing).hours > simulate_run(work_hours, mtbf_hours, timing).hours


SPEC = """
name: chat
model: Qwen/Qwen2.5-7B
workload: {kind: inference, request_rate_per_s: 400}
placement: {providers: [azure], instance_types: [Standard_NC24ads_A100_v4]}
"""


def run_mix(folder: Path, capacity: str, *options: str) -> Any:
    path = folder / "chat.yaml"
    path.write_text(SPEC + f"capacity: {capacity}\n")
    done = CliRunner().invoke(cli, ["mix", str(path), *options])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout) if "--json" in options else done.stdout


def test_the_command_compares_on_one_demand(tmp_path: Path) -> None:
    mix = run_mix(tmp_path, "{demand: business-hours, interruption: tolerate}", "--json", "--seed", "3")
    years = {year["policy"]: year for year in mix["policies"]}
    assert set(years) == {"optimal", "tiered", "all on-demand", "all reserved", "half Spot"}
    for year in years.values():
        assert year["reserved_nodes"] + year["spot_nodes"] + year["on_demand_nodes"] == mix["nodes"]
        assert years["optimal"]["usd_per_year"] <= year["usd_per_year"] * 1.001
    assert years["all on-demand"]["spot_usd"] == 0
    # Reserved capacity has no commitment price here: said, not guessed; what other types save is an estimate beside it
    assert mix["judged_at"] == "on-demand"
    assert [(term["term"], term["usd_per_hour"], term["year"]) for term in mix["terms"]] == [
        ("1-year", None, None),
        ("3-year", None, None),
    ]
    for term in mix["terms"]:
        least, most = term["discount_range"]
        assert 0.3 < least <= most < 0.6
        low, high = term["year_range_usd"]
        assert low <= high <= years["optimal"]["usd_per_year"]
    assert mix["flat_rule"]["usd_per_year"] <= years["optimal"]["usd_per_year"]
    text = run_mix(tmp_path, "{demand: business-hours}")
    assert "hardware guide" in text and "rate unknown: no public source" in text and "(an estimate)" in text


def test_real_terms_stand_beside_the_flat_discount(tmp_path: Path) -> None:
    (tmp_path / "agreement.yaml").write_text(
        "source: an agreement\nas_of: 2026-07-01\nprices:\n"
        "  - {provider: azure, region: eastus, instance_type: Standard_NC24ads_A100_v4, option: reserved-1y,"
        " usd_per_hour: 2.938}\n"
    )
    mix = run_mix(tmp_path, "{demand: business-hours}", "--json", "--prices", str(tmp_path / "agreement.yaml"))
    one, three = mix["terms"]
    # 20 % less than 3.673, so it pays from 80 % of the hours on; nobody knows the three years
    assert one["discount"] == pytest.approx(0.2, abs=1e-3)
    assert one["breakeven_share"] == pytest.approx(0.8, abs=1e-3)
    assert one["provenance"]["kind"] == "negotiated"
    assert three["usd_per_hour"] is three["discount"] is None
    optimal, *_ = mix["policies"]
    # A quarter of the fleet runs all the time, the rest 60 of 168 hours
    assert mix["judged_at"] == "1-year"
    assert optimal["reserved_nodes"] == one["year"]["reserved_nodes"] == -(-mix["nodes"] // 4)
    assert optimal["reserved_usd"] == pytest.approx(optimal["reserved_nodes"] * 8760 * 2.938)
    assert optimal["usd_per_year"] == one["year"]["usd_per_year"]
    assert mix["flat_rule"]["usd_per_year"] < optimal["usd_per_year"]
    without = run_mix(tmp_path, "{demand: business-hours}", "--json", "--term", "none")
    assert without["judged_at"] == "on-demand"
    assert one["year"]["saved_usd_per_year"] == pytest.approx(
        without["policies"][0]["usd_per_year"] - optimal["usd_per_year"]
    )


def test_plan_and_bill_use_the_same_of_two_price_files(tmp_path: Path) -> None:
    def price_file(name: str, on_demand: float, reserved: float) -> Path:
        offer = "provider: azure, region: eastus, instance_type: Standard_NC24ads_A100_v4"
        path = tmp_path / name
        path.write_text(
            f"source: an agreement\nas_of: 2026-07-01\nprices:\n"
            f"  - {{{offer}, option: on-demand, usd_per_hour: {on_demand}}}\n"
            f"  - {{{offer}, option: reserved-1y, usd_per_hour: {reserved}}}\n"
        )
        return path

    price_file("spec.yaml", 3.0, 2.9)
    cheaper = price_file("option.yaml", 2.0, 0.1)
    path = tmp_path / "chat.yaml"
    path.write_text(
        SPEC + "prices: spec.yaml\ncapacity: {demand: business-hours, reservation: auto, commitment: 1-year}\n"
    )

    def output(command: str, *options: str) -> Any:
        done = CliRunner().invoke(cli, [command, str(path), "--json", *options])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    # At 97 % of the on-demand rate only nodes that always run are worth a commitment, at 5 % every node is.
    mix, plan = output("mix", "--prices", str(cheaper)), output("plan", "--prices", str(cheaper))
    assert mix["on_demand_usd_per_hour"] == 2.0
    assert mix["nodes"] == plan["choice"]["nodes"]
    optimal = mix["policies"][0]
    assert optimal["reserved_nodes"] == plan["choice"]["purchase"]["reserved_nodes"] == plan["choice"]["nodes"]
    assert output("mix")["on_demand_usd_per_hour"] == 3.0
    billed = output("cost", "--prices", str(cheaper))["items"]
    assert [item["unit_price_usd"] for item in billed if item["role"].startswith("compute")] == [0.1]


def test_a_wrong_price_file_is_named_by_what_names_it(tmp_path: Path) -> None:
    path = tmp_path / "chat.yaml"
    path.write_text(SPEC)
    for command in ("plan", "mix", "cost", "compare"):
        done = CliRunner().invoke(cli, [command, str(path), "--prices", str(tmp_path / "none.yaml")])
        assert done.exit_code == 2
        assert "--prices: " in done.stderr and "none.yaml" in done.stderr


def test_mix_plans_with_the_prices_it_bills(tmp_path: Path) -> None:
    """The plan that `mix` judges is that of `plan` with the same options, also where it takes another machine."""
    types = ("Standard_NC24ads_A100_v4", "Standard_NC40ads_H100_v5")

    def price_file(name: str, cheap: str) -> Path:
        rows = "".join(
            f"  - {{provider: azure, region: eastus, instance_type: {each}, option: on-demand,"
            f" usd_per_hour: {0.01 if each == cheap else 50}}}\n"
            for each in types
        )
        path = tmp_path / name
        path.write_text(f"source: an agreement\nas_of: 2026-07-01\nprices:\n{rows}")
        return path

    price_file("spec.yaml", types[0])
    option = price_file("option.yaml", types[1])
    path = tmp_path / "chat.yaml"
    path.write_text(SPEC.replace(f"[{types[0]}]", f"[{', '.join(types)}]") + "prices: spec.yaml\n")
    done = CliRunner().invoke(cli, ["mix", str(path), "--json", "--prices", str(option)])
    assert done.exit_code == 0, done.output
    mix = json.loads(done.stdout)
    assert (mix["instance_type"], mix["on_demand_usd_per_hour"]) == (types[1], 0.01)


P5_SPEC = """
name: chat
model: deepseek-ai/DeepSeek-R1
workload: {kind: inference, request_rate_per_s: 100}
placement: {providers: [aws], regions: [us-east-1], instance_types: [p5.48xlarge]}
"""


def p5_mix(folder: Path, capacity: str, *options: str) -> Any:
    (folder / "r1.yaml").write_text(P5_SPEC + f"capacity: {capacity}\n")
    done = CliRunner().invoke(cli, ["mix", str(folder / "r1.yaml"), "--json", *options])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_flat_rule_is_held_against_the_terms_of_the_price_list(tmp_path: Path) -> None:
    # AWS price files of 2026-09-25: p5.48xlarge 55.04 on demand, 34.6752 for a year, 23.77728 for three
    mix = p5_mix(tmp_path, "{demand: business-hours}")
    on_demand, rates = 55.04, {"1-year": 34.6752, "3-year": 23.77728}
    base = -(-mix["nodes"] // mix["gang_nodes"] // 4) * mix["gang_nodes"]
    # By hand: a quarter runs always, the rest 60 of 168 hours; only the quarter pays at any of the three rates
    peak_usd = (mix["nodes"] - base) * on_demand * 8760 * 60 / 168
    assert mix["flat_rule"]["reserved_nodes"] == base
    assert mix["flat_rule"]["usd_per_year"] == pytest.approx(base * 0.6 * on_demand * 8760 + peak_usd)
    for term, years in zip(mix["terms"], (1, 3), strict=True):
        rate = rates[term["term"]]
        assert term["usd_per_hour"] == rate
        assert term["breakeven_share"] == pytest.approx(rate / on_demand)
        year = term["year"]
        assert year["reserved_nodes"] == base
        assert year["usd_per_year"] == pytest.approx(base * rate * 8760 + peak_usd)
        assert year["committed_usd"] == pytest.approx(base * rate * 8760 * years)
        assert term["flat_mix_usd_per_year"] == pytest.approx(year["usd_per_year"])
        # The guide's 40 % is too much for a year and too little for three
        assert (year["usd_per_year"] > mix["flat_rule"]["usd_per_year"]) == (term["term"] == "1-year")


def test_a_demand_between_the_terms_is_reserved_for_three_years_alone(tmp_path: Path) -> None:
    # In use half of the hours: above the 43 % of three years, below the 63 % of one and the 60 % of the flat rule
    mix = p5_mix(tmp_path, f"{{demand: {[1.0] * 12 + [0.01] * 12}}}")
    one, three = mix["terms"]
    first = mix["gang_nodes"]  # always in use, as demand never is zero
    assert one["year"]["reserved_nodes"] == mix["flat_rule"]["reserved_nodes"] == first
    assert three["year"]["reserved_nodes"] == mix["nodes"]
    assert three["flat_mix_usd_per_year"] > three["year"]["usd_per_year"]


def test_a_term_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chat.yaml").write_text(SPEC)
    refused = CliRunner().invoke(cli, ["mix", str(tmp_path / "chat.yaml"), "--term", "3-year"])
    assert refused.exit_code == 2
    assert "the 3-year rate of Standard_NC24ads_A100_v4 in eastus is unknown" in refused.stderr


RUN_SPEC = Path(__file__).parent.parent / "clusters" / "llama-65b-training.yaml"


def run_options(spec: Path) -> tuple[Any, dict[str, Any]]:
    mix = json.loads(CliRunner().invoke(cli, ["mix", str(spec), "--json"]).stdout)
    return mix, {option["option"]: option for option in mix["run"]}


def test_a_run_is_bought_for_its_window() -> None:
    mix, options = run_options(RUN_SPEC)
    run = options["for the run, on-demand rate"]
    assert run["usd"] == pytest.approx(run["nodes"] * run["days"] * 24 * mix["on_demand_usd_per_hour"])
    assert options["1-year commitment"]["days"] == 365
    assert options["Spot"]["days"] > run["days"]


def test_stops_on_spot_count_against_the_deadline(tmp_path: Path) -> None:
    _, before = run_options(RUN_SPEC)
    between = (before["for the run, on-demand rate"]["days"] + before["Spot"]["days"]) / 2
    given = RUN_SPEC.read_text().replace("deadline_days: 60", f"deadline_days: {between:.2f}")
    (tmp_path / "run.yaml").write_text(given)
    mix, options = run_options(tmp_path / "run.yaml")
    assert mix["nodes"] == before["Spot"]["nodes"]
    assert f"past the deadline of {round(between, 2):g} days" in options["Spot"]["note"]
    # Bought on Spot, the same run needs more nodes to be done in time
    (tmp_path / "run.yaml").write_text(given + "capacity: {interruption: tolerate}\n")
    mix, options = run_options(tmp_path / "run.yaml")
    assert mix["nodes"] > before["Spot"]["nodes"]
    assert "past the deadline" not in options["Spot"]["note"]


def test_the_policy_of_the_spec_is_what_is_planned(tmp_path: Path) -> None:
    path = tmp_path / "chat.yaml"
    path.write_text(SPEC + "capacity: {policy: tiered, demand: business-hours, interruption: tolerate}\n")
    plan = json.loads(CliRunner().invoke(cli, ["plan", str(path), "--json"]).stdout)
    nodes, bought = plan["choice"]["nodes"], plan["choice"]["purchase"]
    assert bought["spot_nodes"] == nodes // 2
    assert bought["reserved_nodes"] + bought["spot_nodes"] == int(0.8 * nodes)


def write_trace(path: Path, rows: list[tuple[Any, Any]], header: tuple[str, ...] = ("hour", "demand")) -> Path:
    with path.open("w", newline="") as text:
        csv.writer(text).writerows([header, *rows])
    return path


def year(change: Callable[[list[tuple[Any, Any]]], None] = lambda rows: None) -> list[tuple[Any, Any]]:
    rows: list[tuple[Any, Any]] = [(hour, 200 * BUSINESS_HOURS[hour % 168]) for hour in range(8760)]
    change(rows)
    return rows


def test_a_year_as_csv_plans_like_the_week_that_it_repeats(tmp_path: Path) -> None:
    write_trace(tmp_path / "year.csv", year())
    from_file, from_week = (
        run_mix(tmp_path, f"{{demand: {demand}, interruption: tolerate}}", "--json")
        for demand in ("year.csv", "business-hours")
    )
    for ours, theirs in zip(from_file["policies"], from_week["policies"], strict=True):
        assert (ours["reserved_nodes"], ours["spot_nodes"]) == (theirs["reserved_nodes"], theirs["spot_nodes"])
        assert ours["usd_per_year"] == pytest.approx(theirs["usd_per_year"], rel=0.01)
    changed = write_trace(tmp_path / "year.csv", year(lambda rows: rows.__setitem__(5, (5, 199))))
    (tmp_path / "chat.yaml").write_text(SPEC + f"capacity: {{demand: {changed.name}}}\n")
    assert load_spec(tmp_path / "chat.yaml").spec.capacity.demand[5] == pytest.approx(199 / 200)


def test_times_may_be_written_out(tmp_path: Path) -> None:
    rows = [(f"2026-{1 + (day // 28) % 12:02d}-01T00:00", 1) for day in range(3)]
    with pytest.raises(SpecError, match="3 hours"):
        read_demand(write_trace(tmp_path / "short.csv", rows))
    from datetime import datetime, timedelta

    start = datetime(2026, 1, 1)
    rows = [((start + timedelta(hours=hour)).isoformat(), hour % 24) for hour in range(8760)]
    trace = read_demand(write_trace(tmp_path / "times.csv", rows))
    assert len(trace) == 8760
    assert max(trace) == 1
    start = datetime(2028, 1, 1)
    times = [start + timedelta(hours=hour) for hour in range(8784)]
    rows = [(time.isoformat(), time.hour) for time in times if (time.month, time.day) != (2, 29)]
    assert read_demand(write_trace(tmp_path / "leap.csv", rows)) == trace
    rows = [(time.isoformat(), time.hour) for time in times if (time.month, time.day) != (2, 28)]
    with pytest.raises(SpecError, match=r"2028-02-29T00:00:00, expected 2028-02-28T00:00:00: hours are missing"):
        read_demand(write_trace(tmp_path / "other.csv", rows))


def test_a_trace_of_wall_clocks_is_refused_with_the_way_out(tmp_path: Path) -> None:
    from datetime import UTC, datetime, timedelta
    from zoneinfo import ZoneInfo

    start = datetime(2026, 1, 1, tzinfo=UTC)
    local = [(start + timedelta(hours=hour)).astimezone(ZoneInfo("Europe/Berlin")) for hour in range(8760)]
    walls = [(time.replace(tzinfo=None).isoformat(), 1) for time in local]
    with pytest.raises(SpecError, match=r"expected 2026-03-29T02:00:00: .*in UTC or with their offset"):
        read_demand(write_trace(tmp_path / "walls.csv", walls))
    assert len(read_demand(write_trace(tmp_path / "offsets.csv", [(time.isoformat(), 1) for time in local]))) == 8760


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.append((8760, 1)), "8,761 hours, but a year has 8,760"),
        (lambda rows: rows.pop(), "8,759 hours"),
        (lambda rows: rows.__setitem__(slice(40, 42), [(41, 1), (42, 1)]), r"line 42: hour is 41, expected 40"),
        (lambda rows: rows.__setitem__(7, (7, "")), r"line 9: demand is empty"),
        (lambda rows: rows.__setitem__(7, (7, -3)), r"line 9: demand is -3; it cannot be negative"),
        (lambda rows: rows.__setitem__(7, (7, "nan")), r"line 9: demand is 'nan'"),
        (lambda rows: rows.__setitem__(7, ("noon", 1)), r"line 9: hour is 'noon'"),
        (lambda rows: rows.__setitem__(7, (7, 1, 1)), r"line 9: 3 cells"),
        (lambda rows: rows.__setitem__(slice(0, 8760), [(hour, 0) for hour in range(8760)]), "zero in every hour"),
    ],
)
def test_a_broken_trace_is_refused_with_its_line(change: Any, message: str, tmp_path: Path) -> None:
    path = write_trace(tmp_path / "demand.csv", year(change))
    with pytest.raises(SpecError, match=message):
        read_demand(path)


def test_a_missing_trace_and_a_wrong_header_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        read_demand(tmp_path / "none.csv")
    with pytest.raises(SpecError, match="must name the columns hour,demand"):
        read_demand(write_trace(tmp_path / "header.csv", [], ("when", "load")))
    (tmp_path / "chat.yaml").write_text(SPEC + "capacity: {demand: none.csv}\n")
    refused = CliRunner().invoke(cli, ["plan", str(tmp_path / "chat.yaml")])
    assert refused.exit_code == 2
