"""A user's own cost figures replace the catalog's in the comparison with owned hardware; wrong ones are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmcluster.cli import cli
from planner.compare.tco import on_prem_cost
from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.on_prem import load_on_prem, with_own_figures

CATALOG = Catalog.packaged()
ON_PREM = load_on_prem(CATALOG)
ORIGIN = "source: quotation 4711\nas_of: 2026-11-01\n"
OURS = "{name: ours, gpu: H200, gpus: 8, nic_gbit_per_s: 3200, price_usd: 300000, max_power_kw: 10.5}"
QUICKSTART = Path(__file__).parent.parent / "clusters" / "quickstart.yaml"


def figures(folder: Path, text: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(ORIGIN + text)
    return path


def test_a_year_is_worked_from_the_own_figures(tmp_path: Path) -> None:
    text = f"""
tariff_usd_per_kwh: 0.20
pue: 1.5
depreciation_years: 4
staff_fte: {{value: 0.5, low: 0.3, high: 1.0}}
servers: [{OURS}, {{name: DGX H100, price_usd: 250000}}]
"""
    own = with_own_figures(ON_PREM, figures(tmp_path, text), CATALOG)
    year = on_prem_cost(own.server("ours"), 1, own, 0.5)
    assert year is not None
    assert year.electricity_usd == pytest.approx(10.5 * 1.5 * 0.5 * 8760 * 0.20)
    assert year.depreciation_usd == pytest.approx(300_000 * 1.02 / 4)  # two per cent of cables
    assert year.staff_usd == pytest.approx(0.5 * ON_PREM.staff_usd_per_year.value)
    assert own.server("DGX H100").price_usd is not None
    assert own.server("DGX H100").max_power_kw == ON_PREM.server("DGX H100").max_power_kw
    assert own.tariff_usd_per_kwh.source == "quotation 4711"
    assert own.colocation_usd_per_kw_month == ON_PREM.colocation_usd_per_kw_month
    assert len(own.servers) == len(ON_PREM.servers) + 1


def compare(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["compare", str(QUICKSTART), *arguments])


def test_the_comparison_takes_them_with_a_grid_of_ones_own(tmp_path: Path) -> None:
    path = figures(tmp_path, f"servers: [{OURS}]\ngrid_kg_co2_per_kwh: {{solar: 0.04}}\n")
    done = compare("--own", str(path), "--co2", "solar", "--json")
    assert done.exit_code == 0, done.output
    options = {option["name"]: option for option in json.loads(done.stdout)["comparison"]["options"]}
    assert options["ours, own"]["machines"] == "1 x 8 H200"
    assert options["ours, own"]["co2_tonnes"] == pytest.approx(options["ours, own"]["kwh"] * 0.04 / 1000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tarif: 1", "unknown key 'tarif'; the keys are source, as_of, depreciation_years"),
        ("tariff_usd_per_kwh: -1", "tariff_usd_per_kwh.value' is -1"),
        ("tariff_usd_per_kwh: .inf", "finite number"),
        ("tariff_usd_per_kwh: cheap", "tariff_usd_per_kwh' is 'cheap'"),
        ("staff_fte: {value: 1, low: 2}", "not in this order"),
        ("depreciation_years: 0", "depreciation_years' is 0"),
        ("grid_kg_co2_per_kwh: 3", "give a mapping of names to figures"),
        ("servers: 3", "servers must be a list of servers"),
        ("servers: [{name: [x]}]", "servers must be a list of servers"),
        ("1: 2\ntarif: 1", "unknown key 1; the keys are source"),
        ("servers: [{name: x}]", "gpu' is missing"),
        (f"servers: [{OURS.replace('H200', 'H2000')}]", "unknown gpu 'H2000'; did you mean 'H200'"),
    ],
)
def test_a_wrong_figure_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = figures(tmp_path, text)
    with pytest.raises(CatalogError, match=message):
        with_own_figures(ON_PREM, path, CATALOG)
    refused = compare("--own", str(path))
    assert refused.exit_code == 2
    assert "--own" in refused.stderr


@pytest.mark.parametrize("origin", ["", "source:\nas_of: 2026-11-01\n"])
def test_a_file_without_a_source_is_refused(origin: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"{origin}pue: 1.2\n")
    with pytest.raises(CatalogError, match="expected source, as_of and figures"):
        with_own_figures(ON_PREM, path, CATALOG)


def test_a_cloud_is_not_cheapest_for_a_price_that_nobody_knows(tmp_path: Path) -> None:
    # One hour of load a year: what is left of the bill is storage, and Azure's file system has no price.
    rows = "".join(f"{hour},{int(hour == 5000)}\n" for hour in range(8760))
    (tmp_path / "spike.csv").write_text(f"hour,demand\n{rows}")
    (tmp_path / "spike.yaml").write_text(
        "name: spike\nmodel: Qwen/Qwen2.5-72B\nworkload: {kind: inference, request_rate_per_s: 60}\n"
        "placement: {instance_types: [p5.48xlarge, Standard_ND96isr_H100_v5]}\n"
        "capacity: {demand: spike.csv, time_zone: Etc/UTC}\n"
    )
    done = CliRunner().invoke(cli, ["compare", str(tmp_path / "spike.yaml")])
    assert done.exit_code == 0, done.output
    rows_shown = [line.split()[0] for line in done.stdout.splitlines() if line.strip().startswith(("aws", "azure"))]
    assert rows_shown[:2] == ["aws", "azure"]
    shown = CliRunner().invoke(cli, ["compare", str(tmp_path / "spike.yaml"), "--json"])
    options = {option["name"]: option for option in json.loads(shown.stdout)["comparison"]["options"]}
    assert options["azure"]["usd"] < options["aws"]["usd"] < options["azure"]["usd"] + options["azure"]["unknown_usd"]
