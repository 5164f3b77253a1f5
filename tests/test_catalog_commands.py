"""`llmcluster catalog` as its user sees it: what it prints, what it writes, and the exit code."""

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmcluster.cli import cli
from llmcluster.reports.date_warnings import warn_of_dates
from planner.plan.choice import Purchase
from planner.search.optimizer import plan
from planner.workspace.specs import load_spec
from provider_catalog.catalog import PACKAGED_DATA, Catalog
from provider_catalog.errors import LiveError
from provider_catalog.live import price_store
from provider_catalog.live.azure import retail, skus
from provider_catalog.live.live_source import PlacementScore
from provider_catalog.live.refresh import sources_of
from provider_catalog.price_dates import STALE_DAYS, age_days
from provider_catalog.verification import verify
from tests.support import faulty_http
from tests.support.faulty_http import Answer, Server
from tests.support.moto_server import MotoServer
from tests.support.plans import example_plan
from tests.support.retail_items import item, page

CATALOG = Catalog.load()
SIZES = [
    price
    for price in CATALOG.instance_prices
    if (price.provider, price.region, price.option) == ("azure", "eastus", "on-demand")
]

RESERVATIONS = {
    "reserved-1y": {"type": "Reservation", "reservationTerm": "1 Year"},
    "reserved-3y": {"type": "Reservation", "reservationTerm": "3 Years"},
}


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["catalog", *arguments])


@pytest.fixture
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLMCLUSTER_PRICES", str(tmp_path / "prices"))
    return tmp_path / "prices"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with faulty_http.serve() as running:
        monkeypatch.setattr(retail, "url", f"{running.url}/api/retail/prices")
        yield running


def eastus(factor: float = 1.0, left_out: int = 0) -> Answer:
    """Return today's list for eastus: the snapshot's prices times `factor`, without the first few."""
    known = [p for p in CATALOG.instance_prices if (p.provider, p.region) == ("azure", "eastus")]
    years = {"reserved-1y": 1, "reserved-3y": 3}
    rows = [
        item(
            price.instance_type,
            price.usd_per_hour * factor * 8760 * years.get(price.option, 1 / 8760),
            meterName="x Spot" if price.option == "spot" else "x",
            productName="Virtual Machines",
            **RESERVATIONS.get(price.option, {}),
        )
        for price in known[left_out:]
    ]
    return Answer(page(*rows))


REFRESH = ("refresh", "--provider", "azure", "--region", "eastus", "--what", "prices")


def test_refreshed_prices_are_planned_with(server: Server, prices: Path) -> None:
    server.play(eastus(factor=1.1))
    result = run(*REFRESH)
    assert result.exit_code == 0, result.output
    assert f"written to {prices}" in result.stdout
    current = Catalog.load()
    assert current.version != CATALOG.version
    for price in SIZES:
        found = current.prices.instance("azure", "eastus", price.instance_type, "on-demand")
        assert found is not None
        assert found.usd_per_hour == pytest.approx(1.1 * price.usd_per_hour, abs=1e-6)
        assert (found.provenance.kind, found.provenance.as_of) == ("live", date.today().isoformat())
    # Another region and another cloud are as they were.
    assert {p for p in current.instance_prices if p.region == "westus"} == {
        p for p in CATALOG.instance_prices if p.region == "westus"
    }


def test_the_same_answer_gives_the_same_bytes(server: Server, prices: Path) -> None:
    server.play(eastus())
    run(*REFRESH)
    first = (prices / "azure" / "instance_prices.csv").read_bytes()
    version = Catalog.load().version
    run(*REFRESH)
    assert (prices / "azure" / "instance_prices.csv").read_bytes() == first
    assert Catalog.load().version == version


def test_a_dry_run_writes_nothing(server: Server, prices: Path) -> None:
    server.play(eastus(factor=1.1))
    result = run(*REFRESH, "--dry-run")
    assert result.exit_code == 0
    assert "changed" in result.stdout
    assert not prices.exists()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (eastus(factor=10), "moved tenfold"),
        (eastus(factor=0.01), "moved tenfold"),
        (eastus(left_out=5), "prices vanished"),
    ],
)
def test_a_suspicious_answer_keeps_the_old_file(server: Server, prices: Path, answer: Answer, message: str) -> None:
    server.play(eastus())
    run(*REFRESH)
    before = (prices / "azure" / "instance_prices.csv").read_bytes()
    server.play(answer)
    result = run(*REFRESH)
    assert result.exit_code == 4
    assert message in result.stderr
    assert "the old prices stay" in result.stderr
    assert (prices / "azure" / "instance_prices.csv").read_bytes() == before
    accepted = run(*REFRESH, "--accept")
    assert accepted.exit_code == 0
    assert (prices / "azure" / "instance_prices.csv").read_bytes() != before


@pytest.mark.parametrize("fault", [Answer(status=404), Answer(raw='{"Items": ['), Answer(page())])
def test_a_failure_keeps_the_old_file(server: Server, prices: Path, fault: Answer) -> None:
    server.play(eastus())
    run(*REFRESH)
    before = (prices / "azure" / "instance_prices.csv").read_bytes()
    server.play(fault)
    result = run(*REFRESH)
    assert result.exit_code == 4
    assert "azure prices: failed; the old prices stay" in result.stderr
    assert "Traceback" not in result.output
    assert [path.name for path in (prices / "azure").iterdir()] == ["instance_prices.csv"]
    assert (prices / "azure" / "instance_prices.csv").read_bytes() == before


def test_one_source_fails_and_the_other_is_kept(server: Server, prices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skus, "_ask_az", _refuse)
    server.play(eastus())
    result = run("refresh", "--provider", "azure", "--region", "eastus", "--what", "prices,instance-types", "--json")
    assert result.exit_code == 4
    outcomes = {outcome["source"]: outcome for outcome in json.loads(result.stdout)}
    assert outcomes["prices"]["state"] == "kept"
    assert outcomes["prices"]["prices"] == len(
        [p for p in CATALOG.instance_prices if (p.provider, p.region) == ("azure", "eastus")]
    )
    assert outcomes["instance-types"] == {
        "provider": "azure",
        "source": "instance-types",
        "state": "failed",
        "prices": 0,
        "changes": [],
        "reasons": ["nobody is signed in to Azure; run `az login`"],
        "notes": [],
    }
    assert (prices / "azure" / "instance_prices.csv").exists()


@pytest.mark.slow
def test_aws_through_moto(aws: MotoServer, prices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """moto sells every Spot instance for 0.00001 USD, which the refresh rejects as implausible."""
    for name, value in aws.env.items():
        monkeypatch.setenv(name, value)
    order = ("refresh", "--provider", "aws", "--region", "us-east-1", "--what", "spot,instance-types", "--json")
    first = run(*order)
    assert first.exit_code == 4
    outcomes = {outcome["source"]: outcome for outcome in json.loads(first.stdout)}
    assert {name: outcome["state"] for name, outcome in outcomes.items()} == {
        "spot": "held back",
        "instance-types": "kept",
    }
    assert "moved tenfold" in " ".join(outcomes["spot"]["reasons"])
    assert not prices.exists()
    run("refresh", "--provider", "aws", "--region", "us-east-1", "--what", "spot", "--accept")
    spot = Catalog.load().prices.instance("aws", "us-east-1", "g5.xlarge", "spot")
    assert spot is not None
    assert (spot.usd_per_hour, spot.provenance.kind) == (0.00001, "live")


def test_placement_scores_are_shown(prices: Path) -> None:
    score = PlacementScore(
        provider="aws", region="us-east-1", zone="use1-az6", instance_type="p5.48xlarge", target_nodes=8, score=3,
        as_of="2026-11-24",
    )  # fmt: skip
    better = score.model_copy(update={"zone": "use1-az1", "score": 9})
    price_store.write_scores(prices, "aws", [score, better])
    text = run("show", "p5.48xlarge").stdout
    assert "Spot placement scores (1 to 10) for 8 nodes on 2026-11-24: use1-az1 9, use1-az6 3" in text
    assert json.loads(run("show", "p5.48xlarge", "--json").stdout)["spot_placement_scores"][0]["score"] in (3, 9)


def _refuse() -> dict[str, Any]:
    raise LiveError("nobody is signed in to Azure; run `az login`")


def test_a_full_disk_leaves_the_old_file(server: Server, prices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.play(eastus())
    run(*REFRESH)
    before = (prices / "azure" / "instance_prices.csv").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    server.play(eastus(factor=1.1))
    result = run(*REFRESH)
    assert result.exit_code == 4
    assert "No space left on device" in result.stderr
    assert [path.name for path in (prices / "azure").iterdir()] == ["instance_prices.csv"]
    assert (prices / "azure" / "instance_prices.csv").read_bytes() == before


def test_a_folder_that_cannot_be_written_is_said_before_anybody_is_asked(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    server.play(eastus())
    result = run(*REFRESH, "--into", str(tmp_path / "file"))
    assert result.exit_code == 4
    assert "Not a directory" in result.stderr
    assert server.seen == []


def test_a_full_disk_in_one_source_leaves_the_others(
    server: Server, prices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    monkeypatch.setattr(skus, "_ask_az", _refuse)
    server.play(eastus())
    result = run("refresh", "--provider", "azure", "--region", "eastus", "--what", "prices,instance-types", "--json")
    assert result.exit_code == 4
    outcomes = {outcome["source"]: outcome for outcome in json.loads(result.stdout)}
    assert {source: outcome["state"] for source, outcome in outcomes.items()} == {
        "prices": "failed",
        "instance-types": "failed",
    }
    assert "No space left on device" in outcomes["prices"]["reasons"][0]
    assert "az login" in outcomes["instance-types"]["reasons"][0]


@pytest.mark.parametrize("content", [b"region,zone\n", b"", b"\xff\xfe\x00", b"region,zone\nx\n"])
def test_a_spoilt_file_of_a_refresh_is_named_with_the_way_out(prices: Path, content: bytes) -> None:
    (prices / "azure").mkdir(parents=True)
    (prices / "azure" / "instance_prices.csv").write_bytes(content)
    result = run("list")
    assert result.exit_code == 2
    assert "instance_prices.csv" in result.stderr
    assert "remove it and refresh again" in result.stderr


def test_an_interrupted_refresh_leaves_the_old_file(
    server: Server, prices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.play(eastus())
    run(*REFRESH)
    before = (prices / "azure" / "instance_prices.csv").read_bytes()

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    server.play(eastus(factor=1.1))
    result = run(*REFRESH)
    assert result.exit_code == 130
    assert "interrupted" in result.stderr
    assert [path.name for path in (prices / "azure").iterdir()] == ["instance_prices.csv"]
    assert (prices / "azure" / "instance_prices.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--provider", "gcp"), "unknown provider 'gcp'; known: aws, azure"),
        (("--region", "mars-1"), "unknown region 'mars-1'"),
        (("--what", "prizes"), "unknown source 'prizes'; did you mean 'prices'? known:"),
    ],
)
def test_a_wrong_order_is_refused(prices: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run("refresh", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_switched_off_prices_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCLUSTER_PRICES", "none")
    result = run(*REFRESH)
    assert result.exit_code == 2
    assert "switches refreshed prices off" in result.stderr


def test_a_cloud_without_live_sources_has_none() -> None:
    assert sources_of("on_prem") == ()
    for provider in CATALOG.providers:
        assert sources_of(provider)[0].name == "prices"


def test_list_shows_prices_by_purchase_option() -> None:
    rows = json.loads(run("list", "--provider", "aws", "--json").stdout)
    p5 = next(row for row in rows if row["instance_type"] == "p5.48xlarge")
    assert p5["usd_per_hour"]["on-demand"] == 55.04
    assert p5["usd_per_hour"]["capacity-block"] == 41.528
    assert {row["provider"] for row in rows} == {"aws"}
    text = run("list", "--region", "eastus").stdout
    assert "Standard_ND96asr_v4" in text
    assert "p5.48xlarge" not in text


@pytest.mark.parametrize(
    ("sku", "expected"),
    [
        ("p5.48xlarge", ["capacity-block: 41.528 USD", "gpu_memory_mib"]),
        ("H100", ["tdp_w", "NVIDIA H100"]),
        ("PERSISTENT_2-125", ["GiB-month: 0.145 USD", "step_gib"]),
        ("nat_gateway_hour", ["azure eastus, hour: 0.045 USD"]),
        ("AMLFS-Durable-Premium-500", ["unknown"]),
    ],
)
def test_show_says_what_is_known(sku: str, expected: list[str]) -> None:
    result = run("show", sku)
    assert result.exit_code == 0
    for text in expected:
        assert text in result.stdout


def test_show_of_an_unknown_sku_names_the_nearest() -> None:
    result = run("show", "p5.48xlrge")
    assert result.exit_code == 2
    assert "unknown sku 'p5.48xlrge'; did you mean 'p5.48xlarge'" in result.stderr


def test_diff_of_the_packaged_catalog_with_itself_is_empty() -> None:
    assert run("diff", "packaged", str(PACKAGED_DATA)).stdout == "no prices differ\n"
    assert json.loads(run("diff", "packaged", "packaged", "--json").stdout) == []


def test_diff_of_something_else_is_refused(tmp_path: Path) -> None:
    result = run("diff", "packaged", str(tmp_path))
    assert result.exit_code == 2
    assert "neither packaged, current, a catalog folder" in result.stderr


def test_the_packaged_catalog_is_sound() -> None:
    result = run("verify")
    assert result.exit_code == 0, result.output
    assert "error" not in result.stdout


def set_cell(path: Path, key: str, column: int, value: str) -> None:
    lines = path.read_text().splitlines()
    [number] = [n for n, line in enumerate(lines) if line.startswith(key)]
    cells = lines[number].split(",")
    cells[column] = value
    path.write_text("\n".join([*lines[:number], ",".join(cells), *lines[number + 1 :]]) + "\n")


def set_price(old: str, new: str, provider: str = "aws", count: int = 1) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / provider / "instance_prices.csv"
        text = path.read_text()
        assert text.count(old) == count
        path.write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("spoil", "level", "message"),
    [
        (
            set_price(
                "centralus,,Standard_NC24ads_A100_v4,on-demand,4.15",
                "centralus,,Standard_NC24ads_A100_v4,on-demand,41.5",
                "azure",
            ),
            "warning",
            "times",
        ),
        (set_price(",g5.xlarge,on-demand,1.006,", ",g6.mini,on-demand,1.006,", count=3), "error", "g6.mini"),
        (
            lambda folder: set_cell(folder / "aws" / "instances.csv", "p5.48xlarge,", 3, "40960"),
            "error",
            "gpu_memory_mib 40960 is not the memory of H100",
        ),
        (lambda folder: (folder / "aws" / "service_prices.csv").unlink(), "error", "cannot be read"),
        (
            lambda folder: (folder / "azure" / "defaults.yaml").write_text(
                (PACKAGED_DATA / "azure" / "defaults.yaml").read_text().replace("2026-11-30", "2099-01-01")
            ),
            "error",
            "lies in the future",
        ),
    ],
)
def test_verify_finds_what_is_wrong(tmp_path: Path, spoil: Callable[[Path], None], level: str, message: str) -> None:
    folder = tmp_path / "data"
    shutil.copytree(PACKAGED_DATA, folder, ignore=shutil.ignore_patterns("models"))
    spoil(folder)
    found = [finding for finding in verify(Catalog(folder), date(2026, 11, 24)) if message in finding.message]
    assert found
    assert {finding.level for finding in found} == {level}


@pytest.mark.parametrize(
    ("as_of", "days"), [("2026-11-23", 1), ("2026-11", 23), ("2026", 327), ("", None), ("lately", None)]
)
def test_age_counts_from_the_first_day_that_a_date_admits(as_of: str, days: int | None) -> None:
    assert age_days(as_of, date(2026, 11, 24)) == days


@pytest.mark.parametrize(
    ("start", "bought", "warned"),
    [
        ("2026-11-23", {}, True),
        ("2026-11-24", {}, False),
        ("2027-01-19", {}, False),
        ("2027-01-20", {}, True),
        ("2026-11-01", {"reservation_id": "cr-0123456789abcdef0"}, False),
    ],
)
def test_a_block_that_nobody_sells_today_is_warned_of(
    start: str, bought: dict[str, str], warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    decided = example_plan(
        instance_type="p5.48xlarge",
        nodes=2,
        purchase=Purchase(capacity_block_nodes=2, capacity_block_instances=2),
        spec={"capacity": {"block": {"start": start, "days": 7, **bought}}},
    )
    warn_of_dates(decided, date(2026, 11, 24))
    assert (f"capacity.block.start is {start}" in capsys.readouterr().err) is warned


def test_old_prices_are_said_beside_the_plan_and_not_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    loaded = load_spec(Path("clusters/quickstart.yaml"))
    decided = plan(loaded.spec, loaded.architecture, CATALOG)
    [compute] = [entry for entry in decided.cost.items if entry.role.startswith("compute")]
    since = date.fromisoformat(compute.provenance.as_of)
    warn_of_dates(decided, since + timedelta(days=STALE_DAYS))
    assert capsys.readouterr().err == ""
    warn_of_dates(decided, since + timedelta(days=STALE_DAYS + 1))
    said = capsys.readouterr()
    assert f"dates from {compute.provenance.as_of} and is up to {STALE_DAYS + 1} days old" in said.err
    assert said.out == ""


def test_prices_are_counted_by_cloud_and_kind() -> None:
    result = run("counts", "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert sum(row["prices"] for row in rows) == len(CATALOG.instance_prices) + len(CATALOG.service_prices)
    unknown = sum(row["prices"] for row in rows if row["kind"] == "unknown")
    assert unknown == sum(price.unit_price_usd is None for price in CATALOG.service_prices)
    for row in rows:
        assert (row["oldest"] is None) == (row["kind"] == "unknown")
        assert row["oldest"] is None or row["oldest"] <= row["newest"]
    reserved = sum(row["prices"] for row in rows if (row["provider"], row["priced"]) == ("aws", "reserved-3y"))
    assert reserved == sum((p.provider, p.option) == ("aws", "reserved-3y") for p in CATALOG.instance_prices)
    printed = run("counts")
    assert printed.exit_code == 0
    for provider in CATALOG.providers:
        known = sum(row["prices"] for row in rows if row["provider"] == provider and row["kind"] != "unknown")
        assert f"{provider}: {known} known prices" in printed.stdout


def test_refreshed_prices_are_counted_as_such(server: Server, prices: Path) -> None:
    server.play(eastus())
    run(*REFRESH)
    rows = json.loads(run("counts", "--json").stdout)
    live = {(row["priced"], row["prices"], row["oldest"]) for row in rows if row["kind"] == "live"}
    assert ("on-demand", len(SIZES), date.today().isoformat()) in live
