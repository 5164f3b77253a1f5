"""Negotiated and refreshed prices override the snapshot where they name a price; wrong ones are refused."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcluster.cli import cli
from planner.errors import SpecError
from planner.workspace.planning import plan_specs
from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.facts import Provenance
from provider_catalog.price_changes import PriceChange, price_changes
from provider_catalog.price_files import (
    instance_prices_csv,
    read_instance_prices,
    read_service_prices,
    service_prices_csv,
)
from provider_catalog.price_layers import PriceLayer, live_folder, read_live
from provider_catalog.price_overlay import read_overlay
from provider_catalog.prices import InstancePrice

CATALOG = Catalog.load()
P5 = {"provider": "aws", "region": "us-east-1", "instance_type": "p5.48xlarge", "option": "on-demand"}
NAT = {"provider": "aws", "region": "us-east-1", "sku": "nat_gateway_hour", "unit_price_usd": 0.04}
SPEC = """
name: chat
model: mistralai/Mistral-7B-v0.1
workload: {kind: inference, request_rate_per_s: 1, prompt_tokens: 512, output_tokens: 128}
placement: {providers: [aws], regions: [us-east-1], instance_types: [g5.xlarge]}
"""
G5 = {**P5, "instance_type": "g5.xlarge"}


def overlay(folder: Path, *prices: dict[str, Any], **top: Any) -> Path:
    path = folder / "negotiated.yaml"
    path.write_text(yaml.safe_dump({"source": "agreement 17", "as_of": "2026-07-01", "prices": [*prices], **top}))
    return path


def changes(before: Catalog, after: Catalog) -> tuple[PriceChange, ...]:
    return price_changes(before.instance_prices, before.service_prices, after.instance_prices, after.service_prices)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, arguments)


def test_a_negotiated_price_takes_the_place_of_the_list_price(tmp_path: Path) -> None:
    catalog = CATALOG.under(read_overlay(overlay(tmp_path, {**P5, "usd_per_hour": 41.28}, NAT), CATALOG))
    price = catalog.prices.instance("aws", "us-east-1", "p5.48xlarge", "on-demand")
    assert price is not None
    assert price.usd_per_hour == 41.28
    assert price.provenance == Provenance(source="agreement 17", as_of="2026-07-01", kind="negotiated")
    service = catalog.prices.service("aws", "us-east-1", "nat_gateway_hour")
    assert service is not None
    assert (service.unit_price_usd, service.unit) == (0.04, "hour")


def test_a_price_for_the_region_leaves_the_zones(tmp_path: Path) -> None:
    catalog = CATALOG.under(read_overlay(overlay(tmp_path, {**P5, "usd_per_hour": 41.28}), CATALOG))
    assert catalog.prices.zones("aws", "us-east-1", "p5.48xlarge") == CATALOG.prices.zones(
        "aws", "us-east-1", "p5.48xlarge"
    )
    for zone in catalog.prices.zones("aws", "us-east-1", "p5.48xlarge"):
        price = catalog.prices.instance("aws", "us-east-1", "p5.48xlarge", "on-demand", zone=zone)
        assert price is None or price.usd_per_hour == 41.28


def test_a_price_for_a_zone_leaves_the_others(tmp_path: Path) -> None:
    spot = {**P5, "option": "spot", "zone": "use1-az6", "usd_per_hour": 1.0}
    catalog = CATALOG.under(read_overlay(overlay(tmp_path, spot), CATALOG))
    changed = changes(CATALOG, catalog)
    assert [(change.zone, change.new_usd) for change in changed] == [("use1-az6", 1.0)]


def test_an_option_that_had_no_price_is_offered(tmp_path: Path) -> None:
    reserved = {**P5, "instance_type": "p4d.24xlarge", "option": "reserved-3y", "usd_per_hour": 24.0}
    assert CATALOG.prices.instance("aws", "us-east-1", "p4d.24xlarge", "reserved-3y") is None
    catalog = CATALOG.under(read_overlay(overlay(tmp_path, reserved), CATALOG))
    found = catalog.prices.instance("aws", "us-east-1", "p4d.24xlarge", "reserved-3y")
    assert found is not None
    assert found.usd_per_hour == 24.0


@pytest.mark.parametrize(
    ("price", "message"),
    [
        (
            {**P5, "instance_type": "p5.48xlarg", "usd_per_hour": 1},
            "unknown instance_type 'p5.48xlarg'; did you mean 'p5.48x",
        ),
        ({**NAT, "sku": "nat_gateway_hours"}, "unknown sku 'nat_gateway_hours'; did you mean 'nat_gateway_hour'"),
        ({**NAT, "region": "us-east1"}, "unknown region 'us-east1'; did you mean 'us-east-1'"),
        ({**NAT, "provider": "gcp"}, "unknown provider 'gcp'"),
        ({**P5, "usd_per_hour": -1}, "column 'usd_per_hour' is -1"),
        ({**P5, "usd_per_hour": math.inf}, "column 'usd_per_hour' is inf"),
        ({**NAT, "unit_price_usd": math.nan}, "column 'unit_price_usd' is nan"),
        ({**P5, "option": "ondemand", "usd_per_hour": 1}, "column 'option' is 'ondemand'"),
        ({**P5, "price": 1}, "unknown column 'price'"),
        ({**P5, **NAT}, "either instance_type, option and usd_per_hour"),
        (P5, "either instance_type, option and usd_per_hour"),
    ],
)
def test_a_wrong_overlay_is_refused(tmp_path: Path, price: dict[str, Any], message: str) -> None:
    path = overlay(tmp_path, price)
    with pytest.raises(CatalogError) as refused:
        read_overlay(path, CATALOG)
    assert message in str(refused.value)
    assert f"{path}, price 1" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected source, as_of and a list of prices"),
        ("prices: 3", "expected source, as_of and a list of prices"),
        ("{source: a, as_of: '2026', prices: [3]}", "price 1: expected a mapping"),
        ("{as_of: '2026', prices: []}", "column 'source' is missing"),
        ("{source: a, as_of: '2026', kind: list, prices: []}", "unknown key 'kind'"),
        ("prices: [", "not valid YAML"),
    ],
)
def test_a_broken_overlay_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "negotiated.yaml"
    path.write_text(text)
    with pytest.raises(CatalogError, match=message):
        read_overlay(path, CATALOG)


def test_a_price_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="price 2: nat_gateway_hour in us-east-1 is priced twice"):
        read_overlay(overlay(tmp_path, NAT, NAT), CATALOG)


def test_the_plan_says_which_prices_it_rests_on(tmp_path: Path) -> None:
    """The same catalog and overlay give the same bytes; another overlay gives another stamp."""
    spec = tmp_path / "chat.yaml"
    spec.write_text(SPEC)
    cheap = overlay(tmp_path, {**G5, "usd_per_hour": 0.5})
    plain, first, second = (
        run("plan", str(spec), "--json", *options).stdout
        for options in ((), ("--prices", str(cheap)), ("--prices", str(cheap)))
    )
    assert first == second
    listed, negotiated = json.loads(plain), json.loads(first)
    assert listed["catalog"]["version"] != negotiated["catalog"]["version"]
    [compute] = [item for item in negotiated["cost"]["items"] if item["role"].startswith("compute")]
    assert (compute["unit_price_usd"], compute["provenance"]["kind"]) == (0.5, "negotiated")
    assert negotiated["cost"]["usd_per_hour"] < listed["cost"]["usd_per_hour"]


def test_a_spec_names_its_own_overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the spec; `--prices` wins over it; and a spec without one keeps its hash."""
    folder = tmp_path / "clusters"
    folder.mkdir()
    overlay(folder, {**G5, "usd_per_hour": 0.5})
    spec = folder / "chat.yaml"
    spec.write_text(SPEC + "prices: negotiated.yaml\n")
    monkeypatch.chdir(tmp_path)
    by_spec = json.loads(run("plan", "clusters/chat.yaml", "--json").stdout)
    assert by_spec["cost"]["items"][0]["unit_price_usd"] == 0.5
    other = overlay(tmp_path, {**G5, "usd_per_hour": 0.25})
    by_option = json.loads(run("plan", "clusters/chat.yaml", "--json", "--prices", str(other)).stdout)
    assert by_option["cost"]["items"][0]["unit_price_usd"] == 0.25
    spec.write_text(SPEC)
    assert "prices" not in json.loads(run("plan", "clusters/chat.yaml", "--json").stdout)["spec"]


def test_a_wrong_overlay_ends_a_plan_with_2(tmp_path: Path) -> None:
    spec = tmp_path / "chat.yaml"
    spec.write_text(SPEC + "prices: nowhere.yaml\n")
    result = run("plan", str(spec))
    assert result.exit_code == 2
    assert "nowhere.yaml: cannot be read, no such file" in result.stderr
    assert "Traceback" not in result.output


def test_a_lock_is_synthesized_although_its_price_file_is_gone(tmp_path: Path) -> None:
    spec, prices = tmp_path / "chat.yaml", overlay(tmp_path, {**G5, "usd_per_hour": 0.5})
    spec.write_text(SPEC + "prices: negotiated.yaml\n")
    assert run("plan", str(spec), "--lock").exit_code == 0
    prices.unlink()
    (planned,) = plan_specs([spec], CATALOG)
    assert planned.locked
    with pytest.raises(SpecError, match=r"negotiated\.yaml: cannot be read, no such file"):
        planned.priced_catalog()


def live(folder: Path, *prices: InstancePrice) -> PriceLayer:
    (folder / "aws").mkdir(parents=True, exist_ok=True)
    (folder / "aws" / "instance_prices.csv").write_text(instance_prices_csv(prices))
    layer = read_live(folder)
    assert layer is not None
    return layer


def spot(zone: str, usd_per_hour: float) -> InstancePrice:
    origin = Provenance(source="EC2 DescribeSpotPriceHistory", as_of="2026-11-24", kind="live")
    return InstancePrice(**{**P5, "option": "spot"}, zone=zone, usd_per_hour=usd_per_hour, provenance=origin)  # type: ignore[arg-type]


def test_a_zone_that_a_refresh_does_not_name_has_no_spot_market(tmp_path: Path) -> None:
    catalog = CATALOG.under(live(tmp_path, spot("use1-az1", 20.0)))
    assert catalog.prices.instance("aws", "us-east-1", "p5.48xlarge", "spot", zone="use1-az6") is None
    found = catalog.prices.instance("aws", "us-east-1", "p5.48xlarge", "spot")
    assert found is not None
    assert (found.zone, found.usd_per_hour, found.provenance.kind) == ("use1-az1", 20.0, "live")
    on_demand = catalog.prices.instance("aws", "us-east-1", "p5.48xlarge", "on-demand")
    assert on_demand is not None
    assert on_demand.provenance.kind == "snapshot"


def test_where_refreshed_prices_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCLUSTER_PRICES", "none")
    assert live_folder() is None
    monkeypatch.delenv("LLMCLUSTER_PRICES")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert live_folder() == tmp_path / "llmcluster" / "prices"
    assert Catalog.load() is CATALOG  # nothing was refreshed
    live(tmp_path / "llmcluster" / "prices", spot("use1-az1", 20.0))
    assert Catalog.load().version != CATALOG.version
    monkeypatch.setenv("LLMCLUSTER_PRICES", str(tmp_path / "elsewhere"))
    assert Catalog.load().version == CATALOG.version


@pytest.mark.parametrize("provider", CATALOG.providers)
def test_price_files_survive_being_written(tmp_path: Path, provider: str) -> None:
    instances = [price for price in CATALOG.instance_prices if price.provider == provider]
    services = [price for price in CATALOG.service_prices if price.provider == provider]
    (tmp_path / "instance_prices.csv").write_text(instance_prices_csv(instances))
    (tmp_path / "service_prices.csv").write_text(service_prices_csv(services))
    assert sorted(read_instance_prices(tmp_path, provider), key=str) == sorted(instances, key=str)
    assert sorted(read_service_prices(tmp_path, provider), key=str) == sorted(services, key=str)


def test_a_catalog_does_not_differ_from_itself() -> None:
    assert changes(CATALOG, Catalog(CATALOG.folder)) == ()


OFFERS = sorted({(p.provider, p.region, p.instance_type, p.option) for p in CATALOG.instance_prices})
BILLED = sorted({(p.provider, p.region, p.sku) for p in CATALOG.service_prices})
AMOUNTS = st.floats(min_value=0.001, max_value=500)


@pytest.mark.slow
@settings(max_examples=30)
@given(
    instances=st.dictionaries(st.sampled_from(OFFERS), AMOUNTS, max_size=5),
    services=st.dictionaries(st.sampled_from(BILLED), AMOUNTS, max_size=5),
)
def test_laying_an_overlay_changes_the_overlay_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    instances: dict[tuple[str, str, str, Any], float],
    services: dict[tuple[str, str, str], float],
) -> None:
    fields = ("provider", "region", "instance_type", "option")
    lines = [{**dict(zip(fields, key, strict=True)), "usd_per_hour": usd} for key, usd in instances.items()]
    lines += [
        {**dict(zip(("provider", "region", "sku"), key, strict=True)), "unit_price_usd": usd}
        for key, usd in services.items()
    ]
    path = overlay(tmp_path_factory.mktemp("overlay"), *lines)
    after = CATALOG.under(read_overlay(path, CATALOG))
    found = changes(CATALOG, after)
    assert {c.name for c in found} <= {key[2] for key in (*instances, *services)}
    for change in found:
        if change.kind == "instance":
            assert change.new_usd == instances[change.provider, change.region, change.name, change.what]
        else:
            assert change.new_usd == services[change.provider, change.region, change.name]
    for (provider, region, name, option), usd in instances.items():
        price = after.prices.instance(provider, region, name, option)
        assert price is not None
        assert price.usd_per_hour == usd
    # Back again is the same list with old and new exchanged.
    back = {(c.name, c.region, c.zone, c.what, c.new_usd, c.old_usd) for c in changes(after, CATALOG)}
    assert back == {(c.name, c.region, c.zone, c.what, c.old_usd, c.new_usd) for c in found}


def test_money_comes_first(tmp_path: Path) -> None:
    dear, cheap = {**P5, "usd_per_hour": 30.0}, {**G5, "usd_per_hour": 0.9}
    path = overlay(tmp_path, NAT, cheap, dear)
    result = run("catalog", "diff", "packaged", str(path), "--json")
    found = json.loads(result.stdout)
    names = [change["name"] for change in found]
    assert names.index("p5.48xlarge") < names.index("g5.xlarge") < names.index("nat_gateway_hour")
    assert found[-1]["ratio"] == pytest.approx(0.04 / 0.045)
    text = run("catalog", "diff", "packaged", str(path)).stdout
    assert "aws nat_gateway_hour, hour, us-east-1: 0.045 to 0.04 USD (-11.1%)" in text


def test_a_commitment_is_planned_with_for_a_single_node_too(tmp_path: Path) -> None:
    year = {**G5, "option": "reserved-1y", "usd_per_hour": 0.4}
    agreed = str(overlay(tmp_path, year))
    (tmp_path / "spec.yaml").write_text(SPEC)
    offered = json.loads(run("plan", str(tmp_path / "spec.yaml"), "--json", "--prices", agreed).stdout)
    assert offered["choice"]["nodes"] == 1
    (tmp_path / "spec.yaml").write_text(SPEC + "capacity: {commitment: 1-year}\n")
    signed = json.loads(run("plan", str(tmp_path / "spec.yaml"), "--json", "--prices", agreed).stdout)
    assert signed["choice"]["purchase"]["reserved_nodes"] == 1
    saved = offered["cost"]["usd_per_hour"] - signed["cost"]["usd_per_hour"]
    on_demand = CATALOG.prices.instance("aws", "us-east-1", "g5.xlarge", "on-demand")
    assert on_demand is not None
    assert saved == pytest.approx(on_demand.usd_per_hour - 0.4, abs=0.01)


def test_a_plan_without_a_commitment_says_what_one_would_save(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: chat\nmodel: deepseek-ai/DeepSeek-R1\n"
        "workload: {kind: inference, request_rate_per_s: 100}\n"
        "placement: {providers: [aws], regions: [us-east-1], instance_types: [p5.48xlarge]}\n"
    )
    # AWS price files of 2026-09-25: 55.04 on demand, 34.6752 for a year, 23.77728 for three
    said = (
        "a 1-year commitment cuts the cost of reserved nodes by 37.0% (34.68 USD a node-hour), a 3-year commitment by"
        " 56.8% (23.78 USD a node-hour)"
    )
    notes = json.loads(run("plan", str(spec), "--json").stdout)["notes"]
    assert any(said in note for note in notes)
    spec.write_text(spec.read_text() + "capacity: {commitment: 1-year}\n")
    assert not any(said in note for note in json.loads(run("plan", str(spec), "--json").stdout)["notes"])


REGION: dict[str, Any] = {"provider": "aws", "region": "eu-central-2", "zone": "euc2-az1"}
TYPE: dict[str, Any] = {
    "provider": "aws",
    "name": "g7.mini",
    "gpu": "L40S",
    "gpus": 1,
    "gpu_memory_mib": 45776,
    "vcpus": 8,
    "memory_mib": 65536,
    "nic_gbit_per_s": 5,
    "fabric": "ethernet",
    "network_cards": 1,
    "rdma_cards": 0,
    "gpudirect_rdma": False,
    "nvlink": False,
    "nvme_disks": 1,
    "nvme_total_gb": 450,
    "purchase_options": "on-demand|spot",
    "multi_node": False,
}
OFFER = {**REGION, "instance_type": "g7.mini", "option": "on-demand", "usd_per_hour": 2.5}
del OFFER["zone"]


def test_a_region_and_a_type_are_added_by_the_overlay_alone(tmp_path: Path) -> None:
    spec = tmp_path / "chat.yaml"
    document = yaml.safe_load(SPEC)
    document["placement"] = {"providers": ["aws"], "regions": ["eu-central-2"]}
    document["prices"] = "negotiated.yaml"
    spec.write_text(yaml.safe_dump(document))
    overlay(tmp_path, OFFER, {**NAT, "region": "eu-central-2"}, regions=[REGION], instance_types=[TYPE])
    (planned,) = plan_specs([spec], CATALOG)
    choice, cost = planned.plan.choice, planned.plan.cost
    assert (choice.region, choice.zone, choice.instance_type) == ("eu-central-2", "euc2-az1", "g7.mini")
    [compute] = [item for item in cost.items if item.role.startswith("compute")]
    assert (compute.unit_price_usd, compute.provenance.kind) == (2.5, "negotiated")
    # Stacks need the facts of the type; a price that holds in every region holds in the new one.
    assert planned.catalog.instance_type("aws", "g7.mini").vcpus == 8
    assert planned.catalog.prices.service("aws", "eu-central-2", "public_ip_hour") is not None
    assert ("aws", "g7.mini") not in CATALOG.instance_types
    assert "eu-central-2" not in CATALOG.provider_defaults("aws").default_zones


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ({"currency": "EUR"}, "currency is 'EUR'; prices are in USD"),
        ({"regions": {"aws": "eu-central-2"}}, "regions holds a mapping; give a list"),
        ({"regions": [{**REGION, "provider": "gcp"}]}, "regions 1: unknown provider 'gcp'"),
        ({"regions": [{**REGION, "region": "eu central"}]}, "column 'region' is 'eu central'"),
        ({"instance_types": [{**TYPE, "gpu": "L41S"}]}, "unknown gpu 'L41S'; did you mean 'L40S'"),
        ({"instance_types": [{**TYPE, "vcpus": 0}]}, "column 'vcpus' is 0"),
        ({"instance_types": [{**TYPE, "cores": 4}]}, "unknown column 'cores'"),
        ({"instance_types": ["g7.mini"]}, "instance_types 1: expected a mapping"),
        ({"zones": []}, "unknown key 'zones'; the keys are source, as_of, currency, regions, instance_types, prices"),
    ],
)
def test_a_wrong_addition_is_refused(tmp_path: Path, top: dict[str, Any], message: str) -> None:
    with pytest.raises(CatalogError, match=re.escape(message)):
        read_overlay(overlay(tmp_path, NAT, **top), CATALOG)
