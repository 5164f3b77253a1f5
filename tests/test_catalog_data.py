"""The packaged facts hold together, agree with the vendors and providers, and a broken file says what is wrong."""

import csv
import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_catalog.catalog import PACKAGED_DATA, Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.precision import Precision
from provider_catalog.prices import PurchaseOption
from provider_catalog.storage import FileSystemSku

CATALOG = Catalog.load()
PRICE_FILES = sorted(PACKAGED_DATA.glob("*/*_prices.csv"))
AS_OF = re.compile(r"20\d\d(-\d\d(-\d\d)?)?")
INSTANCE_TYPES = list(CATALOG.instance_types.values())
FILE_SYSTEMS = [system for systems in CATALOG.shared_file_systems.values() for system in systems]


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file; a row of several zones is one row for each zone."""
    with path.open(encoding="utf-8", newline="") as lines:
        return [
            {**row, "zone": zone} if "zone" in row else row
            for row in csv.DictReader(lines)
            for zone in row.get("zone", "").split("|")
        ]


def price(row: dict[str, str]) -> float:
    return float(row["usd_per_hour"])


# Vendors' data sheets: dense peaks (a sparse figure would be twice as high), GB/s, NVLink both directions.
@pytest.mark.parametrize(
    ("name", "precision", "tflops"),
    [
        ("A100-40GB", "bf16", 312),
        ("A100-80GB", "fp32", 19.5),
        ("A100-80GB", "int8", 624),
        ("H100", "bf16", 989.4),
        ("H100", "fp8", 1978.9),
        ("H800", "bf16", 989.4),
        ("H200", "fp8", 1978.9),
        ("B200", "bf16", 2250),
        ("B200", "nvfp4", 9000),
        ("L40S", "fp8", 733),
        ("L4", "bf16", 121),
        ("A10G", "fp16", 70),
        ("MI300X", "bf16", 1307.4),
    ],
)
def test_peak_is_the_dense_one_of_the_data_sheet(name: str, precision: Precision, tflops: float) -> None:
    assert CATALOG.gpu(name).peak_tflops[precision] == pytest.approx(tflops, rel=0.001)


@pytest.mark.parametrize("name", ["A100-40GB", "A100-80GB", "A100-PCIe-80GB", "A10G", "MI250X"])
def test_parts_before_fp8_have_no_fp8_peak(name: str) -> None:
    assert "fp8" not in CATALOG.gpu(name).peak_tflops


@pytest.mark.parametrize(
    ("name", "nvlink_gb_per_s"),
    [("A100-80GB", 600), ("H100", 900), ("H800", 400), ("H200", 900), ("B200", 1800), ("L40S", 0), ("A10G", 0)],
)
def test_nvlink_counts_both_directions(name: str, nvlink_gb_per_s: float) -> None:
    assert CATALOG.gpu(name).nvlink_gb_per_s == nvlink_gb_per_s


def test_narrower_formats_are_never_slower() -> None:
    for gpu in CATALOG.gpus.values():
        ladder = [gpu.peak_tflops[p] for p in ("fp32", "bf16", "fp8", "nvfp4") if p in gpu.peak_tflops]
        assert all(wide < narrow for wide, narrow in pairwise(ladder)), gpu.name
        assert gpu.peak_tflops["bf16"] == gpu.peak_tflops["fp16"], gpu.name


def test_papers_call_the_80_gb_part_a100() -> None:
    assert CATALOG.gpu("A100").name == "A100-80GB"


# EC2 user guide, "Maximize network bandwidth on instances with multiple network cards"; cards and EFA of them.
@pytest.mark.parametrize(
    ("name", "network_cards", "efa", "gbit_per_s"),
    [
        ("p4d.24xlarge", 4, 4, 400),
        ("p4de.24xlarge", 4, 4, 400),
        ("p5.48xlarge", 32, 32, 3200),
        ("p5e.48xlarge", 32, 32, 3200),
        ("p5en.48xlarge", 16, 16, 3200),
        ("p6-b200.48xlarge", 8, 8, 3200),
        ("p6-b300.48xlarge", 17, 16, 6400),
        ("g6e.48xlarge", 4, 4, 400),
        ("g5.xlarge", 1, 0, 2.5),
    ],
)
def test_a3_instance_types_have_the_efa_cards_that_ec2_documents(
    name: str, network_cards: int, efa: int, gbit_per_s: float
) -> None:
    instance_type = CATALOG.instance_type("aws", name)
    assert (instance_type.network_cards, instance_type.rdma_cards) == (network_cards, efa)
    assert instance_type.nic_gbit_per_s == gbit_per_s


# Microsoft's size pages. A price catalogue in circulation claims 12 GPUs for ND96isr_H100_v5.
@pytest.mark.parametrize(
    ("name", "gpu", "memory_gib", "gbit_per_s"),
    [
        ("Standard_ND96asr_v4", "A100-40GB", 900, 8 * 200),
        ("Standard_ND96amsr_A100_v4", "A100-80GB", 1900, 8 * 200),
        ("Standard_ND96isr_H100_v5", "H100", 1900, 8 * 400),
        ("Standard_ND96isr_H200_v5", "H200", 1850, 8 * 400),
        ("Standard_ND96isr_MI300X_v5", "MI300X", 1850, 8 * 400),
    ],
)
def test_z3_nd_sizes_have_the_hardware_that_azure_documents(
    name: str, gpu: str, memory_gib: int, gbit_per_s: float
) -> None:
    instance_type = CATALOG.instance_type("azure", name)
    assert (instance_type.gpu, instance_type.gpus, instance_type.rdma_cards, instance_type.vcpus) == (gpu, 8, 8, 96)
    assert instance_type.memory_mib == memory_gib * 1024
    assert (instance_type.nic_gbit_per_s, instance_type.fabric) == (gbit_per_s, "infiniband")


@pytest.mark.parametrize("instance_type", INSTANCE_TYPES, ids=lambda instance_type: instance_type.name)
def test_instance_type_is_consistent(instance_type) -> None:  # type: ignore[no-untyped-def]
    gpu = CATALOG.gpu(instance_type.gpu)
    # What the machine reports is the marketed size, read as 10^9 or as 2^30 bytes, less what the driver reserves.
    assert 0.99 < instance_type.gpu_memory_mib * 2**20 / (gpu.memory_gb * 1e9) < 1.08
    assert instance_type.rdma_cards <= instance_type.network_cards
    assert (instance_type.rdma_cards > 0) == (instance_type.fabric != "ethernet") == instance_type.multi_node
    assert not (instance_type.nvlink and gpu.nvlink_gb_per_s == 0)
    assert not (instance_type.gpudirect_rdma and instance_type.rdma_cards == 0)
    assert (instance_type.nvme_disks == 0) == (instance_type.nvme_total_gb == 0)
    assert instance_type.source
    assert AS_OF.fullmatch(instance_type.as_of)


def test_topology_has_nvlink_only_among_gpus_that_it_links() -> None:
    sxm = CATALOG.topology(CATALOG.instance_type("aws", "p4d.24xlarge"))
    assert (sxm.nvlink_gb_per_s, sxm.gpu_memory_bytes) == (600, 40 * 2**30)
    bridged = CATALOG.topology(CATALOG.instance_type("azure", "Standard_NC96ads_A100_v4"))
    assert bridged.gpu.nvlink_gb_per_s == 600
    assert (bridged.gpus, bridged.nvlink_domain_gpus) == (4, 2)


@pytest.mark.parametrize("path", PRICE_FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_price_row_says_where_and_when(path: Path) -> None:
    assert rows(path)
    for row in rows(path):
        assert row["source"], row
        assert AS_OF.fullmatch(row["as_of"]), row
        assert row["kind"] in {"snapshot", "list", "derived"}, row
        # What is worked out says from what.
        assert row["source"].startswith("derived: ") == (row["kind"] == "derived"), row


@pytest.mark.parametrize("provider", CATALOG.providers)
def test_spot_is_a_market_of_its_own(provider: str) -> None:
    # A Spot price at the on-demand price means that the zone has no Spot market.
    prices = rows(PACKAGED_DATA / provider / "instance_prices.csv")
    on_demand = {(r["instance_type"], r["region"], r["zone"]): price(r) for r in prices if r["option"] == "on-demand"}
    spot = [row for row in prices if row["option"] == "spot"]
    assert spot
    for row in spot:
        assert price(row) < 0.99 * on_demand[row["instance_type"], row["region"], row["zone"]], row


@pytest.mark.parametrize("provider", CATALOG.providers)
def test_only_known_types_are_priced_and_only_as_they_are_sold(provider: str) -> None:
    for row in rows(PACKAGED_DATA / provider / "instance_prices.csv"):
        instance_type = CATALOG.instance_type(provider, row["instance_type"])
        # A commitment is a rate on what is bought on demand, and on sale wherever that is.
        sold = row["option"].replace("reserved-1y", "on-demand").replace("reserved-3y", "on-demand")
        assert sold in instance_type.purchase_options, row


def test_a_gpu_hour_costs_what_gpu_hours_cost() -> None:
    for provider in CATALOG.providers:
        for row in rows(PACKAGED_DATA / provider / "instance_prices.csv"):
            gpus = CATALOG.instance_type(provider, row["instance_type"]).gpus
            assert 0.25 < price(row) / gpus < 25, row


def test_instance_types_of_one_region_cost_the_same_on_demand_in_every_zone() -> None:
    for path in PACKAGED_DATA.glob("*/instance_prices.csv"):
        seen: dict[tuple[str, str], float] = {}
        for row in rows(path):
            if row["option"] == "on-demand":
                first = seen.setdefault((row["instance_type"], row["region"]), price(row))
                assert price(row) == pytest.approx(first, rel=1e-6), row


@pytest.mark.parametrize(
    ("provider", "region", "name", "option", "usd_per_hour"),
    [
        ("aws", "us-east-1", "p4d.24xlarge", "on-demand", 21.957642),
        ("aws", "us-east-1", "p5.48xlarge", "on-demand", 55.04),
        ("aws", "us-east-1", "p5.48xlarge", "capacity-block", 41.528),
        ("aws", "us-east-2", "p5e.48xlarge", "capacity-block", 47.76),
        ("aws", "us-east-1", "g5.xlarge", "on-demand", 1.006),
        ("azure", "eastus", "Standard_ND96asr_v4", "on-demand", 27.197),
        ("azure", "eastus", "Standard_ND96amsr_A100_v4", "spot", 3.6047),
        # Azure sells a reservation as one sum: 1,109,592 USD for three years of ND96isr_H200_v5
        ("azure", "eastus2", "Standard_ND96isr_H200_v5", "reserved-3y", 42.221918),
        ("aws", "us-east-1", "p5.48xlarge", "reserved-1y", 34.6752),
        ("aws", "us-east-1", "p5.48xlarge", "reserved-3y", 23.77728),
    ],
)
def test_prices_are_those_that_the_providers_publish(
    provider: str, region: str, name: str, option: PurchaseOption, usd_per_hour: float
) -> None:
    found = CATALOG.prices.instance(provider, region, name, option)
    assert found is not None
    assert found.usd_per_hour == usd_per_hour


@pytest.mark.parametrize(
    ("provider", "region", "name", "option"),
    [
        ("aws", "us-east-2", "p5e.48xlarge", "on-demand"),  # sold by Capacity Block only
        ("azure", "eastus2", "Standard_ND96isr_H100_v5", "spot"),  # listed at the on-demand price
        ("azure", "eastus", "Standard_ND96isr_H200_v5", "on-demand"),  # nobody has sourced it
        ("aws", "us-east-1", "p4d.24xlarge", "reserved-3y"),
    ],
)
def test_a_price_without_a_source_stays_unknown(provider: str, region: str, name: str, option) -> None:  # type: ignore[no-untyped-def]
    assert CATALOG.prices.instance(provider, region, name, option) is None


def test_a_family_saves_one_share_whatever_the_size() -> None:
    # AWS prices an EC2 Instance Savings Plan by family and region; dedicated tenancy would stand out by a tenth.
    shares: dict[tuple[str, str, str], set[float]] = {}
    for row in rows(PACKAGED_DATA / "aws" / "instance_prices.csv"):
        if row["option"].startswith("reserved"):
            on_demand = CATALOG.prices.instance("aws", row["region"], row["instance_type"], "on-demand")
            assert on_demand is not None
            family = row["instance_type"].partition(".")[0]
            key = (family, row["region"], row["option"])
            shares.setdefault(key, set()).add(round(price(row) / on_demand.usd_per_hour, 3))
    assert shares and all(len(found) == 1 for found in shares.values()), shares


def test_spot_without_a_market_in_the_zone_is_unavailable() -> None:
    assert CATALOG.prices.instance("aws", "us-east-1", "p5.48xlarge", "spot", zone="use1-az1") is None
    assert CATALOG.prices.instance("aws", "us-east-1", "p5.48xlarge", "spot", zone="use1-az6") is not None


def test_local_zones_are_left_out() -> None:
    zones = {row["zone"] for row in rows(PACKAGED_DATA / "aws" / "instance_prices.csv")}
    assert all(re.fullmatch(r"[a-z0-9]+-az\d|", zone) for zone in zones)


def test_unknown_service_prices_stay_unknown() -> None:
    unknown = CATALOG.prices.service("aws", "us-east-1", "PERSISTENT_2-1000")
    assert unknown is not None
    assert unknown.unit_price_usd is None
    assert unknown.unit == "GiB-month"
    assert CATALOG.prices.service("aws", "us-east-1", "teleport_hour") is None


def test_the_clouds_share_their_service_roles() -> None:
    skus = {
        provider: {row["sku"] for row in rows(PACKAGED_DATA / provider / "service_prices.csv")}
        - {system.sku for system in CATALOG.shared_file_systems[provider]}
        - {row["sku"] for row in rows(PACKAGED_DATA / provider / "service_prices.csv") if is_machine(row["sku"])}
        for provider in CATALOG.providers
    }
    # Azure keeps the object store private by an endpoint that is billed, found through a DNS zone that is billed; an S3
    # gateway endpoint costs nothing, and the interface endpoints of AWS are billed per service and zone.
    assert skus["azure"] - skus["aws"] == {"private_endpoint_hour", "private_endpoint_gb", "private_dns_zone_month"}
    assert skus["aws"] - skus["azure"] == {
        "custom_metric_month",
        "metric_collector_hour",
        "metric_collector_samples_million",
        "interface_endpoint_hour",
        "interface_endpoint_gb",
        "flow_log_s3_gb",
        "load_balancer_capacity_hour",
        "lustre_backup_gb_month",
        "lustre_metadata_iops_month",
        "metric_query_samples_billion",
        "metric_storage_gb_month",
    }


def is_machine(sku: str) -> bool:
    return sku.startswith("Standard_") or "." in sku


@pytest.mark.parametrize("provider", CATALOG.providers)
def test_every_file_system_has_a_price_row_where_services_are_priced(provider: str) -> None:
    for region in CATALOG.provider_defaults(provider).default_zones:
        for system in CATALOG.shared_file_systems[provider]:
            assert CATALOG.prices.service(provider, region, system.sku) is not None, (region, system.sku)


@pytest.mark.parametrize("provider", CATALOG.providers)
def test_defaults_name_things_that_exist(provider: str) -> None:
    defaults = CATALOG.provider_defaults(provider)
    assert defaults.default_zone == defaults.default_zones[defaults.default_region]
    assert CATALOG.shared_file_system(provider, defaults.shared_file_system).persistent
    types = [instance_type.name for instance_type in INSTANCE_TYPES if instance_type.provider == provider]
    assert any(defaults.default_region in CATALOG.prices.regions(provider, name) for name in types)
    for name in types:
        for region in CATALOG.prices.regions(provider, name):
            assert region in defaults.default_zones, (name, region)


@pytest.mark.parametrize("provider", CATALOG.providers)
def test_default_zones_are_zones_with_gpus(provider: str) -> None:
    priced: dict[str, set[str]] = {}
    for row in rows(PACKAGED_DATA / provider / "instance_prices.csv"):
        priced.setdefault(row["region"], set()).add(row["zone"])
    for region, zone in CATALOG.provider_defaults(provider).default_zones.items():
        zones = priced.get(region, set()) - {""}
        assert not zones or zone in zones, region


# FSx API reference, CreateFileSystem, StorageCapacity: 1200, 2400 and increments of 2400 GiB.
@pytest.mark.parametrize(
    ("requested_gib", "size_gib"), [(1, 1200), (1200, 1200), (1201, 2400), (2401, 4800), (10 * 1024, 12000)]
)
def test_a11_fsx_sizes_are_those_that_aws_sells(requested_gib: float, size_gib: int) -> None:
    for system in CATALOG.shared_file_systems["aws"]:
        assert system.legal_size_gib(requested_gib) == size_gib


# Microsoft Learn, Create an Azure Managed Lustre file system, throughput configurations: minimum = increment.
@pytest.mark.parametrize(
    ("sku", "step_tib", "max_tib"),
    [
        ("AMLFS-Durable-Premium-40", 48, 768),
        ("AMLFS-Durable-Premium-125", 16, 128),
        ("AMLFS-Durable-Premium-250", 8, 128),
        ("AMLFS-Durable-Premium-500", 4, 128),
    ],
)
def test_z6_managed_lustre_sizes_are_those_that_azure_sells(sku: str, step_tib: int, max_tib: int) -> None:
    system = CATALOG.shared_file_system("azure", sku)
    assert system.legal_size_gib(1) == step_tib * 1024
    assert system.legal_size_gib(step_tib * 1024 + 1) == 2 * step_tib * 1024
    assert system.legal_size_gib(max_tib * 1024) == max_tib * 1024
    with pytest.raises(CatalogError, match="support request"):
        system.legal_size_gib(max_tib * 1024 + 1)


@given(system=st.sampled_from(FILE_SYSTEMS), requested_gib=st.floats(min_value=0.001, max_value=128 * 1024))
def test_legal_size_holds_the_request_and_wastes_less_than_a_step(system: FileSystemSku, requested_gib: float) -> None:
    size_gib = system.legal_size_gib(requested_gib)
    assert requested_gib <= size_gib < requested_gib + system.step_gib + 1
    assert size_gib in system.sizes_gib or size_gib % system.step_gib == 0
    assert system.legal_size_gib(size_gib) == size_gib


@pytest.mark.parametrize(
    ("look_up", "message"),
    [
        (lambda: CATALOG.gpu("H10"), "unknown gpu 'H10'; did you mean 'H100'?"),
        (lambda: CATALOG.instance_type("aws", "p5.48xlrge"), "did you mean 'p5.48xlarge'?"),
        (lambda: CATALOG.instance_type("azure", "p5.48xlarge"), "belongs to aws, not to azure"),
        (lambda: CATALOG.instance_type("azur", "p5.48xlarge"), "unknown provider 'azur'; did you mean 'azure'?"),
        (lambda: CATALOG.shared_file_system("aws", "PERSISTENT_2"), "did you mean 'PERSISTENT_2-"),
        (lambda: CATALOG.provider_defaults("gcp"), "known: aws, azure"),
        (lambda: FILE_SYSTEMS[0].legal_size_gib(0), "positive size, not 0 GiB"),
        (lambda: Catalog.load(Path("no-such-folder")), "no such folder"),
    ],
)
def test_an_unknown_name_gets_the_nearest(look_up, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CatalogError, match=re.escape(message)):
        look_up()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the packaged data that a test may break."""
    copy = tmp_path / "data"
    shutil.copytree(PACKAGED_DATA, copy, ignore=shutil.ignore_patterns("models"))
    return copy


def break_line(path: Path, line: int, old: str, new: str) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    path.write_text("".join(lines), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "line", "old", "new", "message"),
    [
        ("aws/instances.csv", 2, ",8,40960,", ",eight,40960,", r"instances\.csv, line 2: column 'gpus' is 'eight'"),
        ("aws/instances.csv", 2, ",8,40960,", ",,40960,", r"instances\.csv, line 2: column 'gpus' is empty"),
        (
            "aws/instances.csv",
            2,
            "A100-40GB",
            "A100-41GB",
            r"line 2: unknown gpu 'A100-41GB'; did you mean 'A100-40GB'",
        ),
        ("aws/instances.csv", 3, "p4de", "p4d", r"line 3: p4d\.24xlarge has two rows"),
        ("aws/instances.csv", 1, "vcpus", "vcpu", r"line 2: .*column 'vcpus' is missing"),
        ("aws/instances.csv", 2, "on-demand|", "on-demnd|", r"line 2: column 'purchase_options\.0' is 'on-demnd'"),
        (
            "aws/instance_prices.csv",
            2,
            ",21.957642,",
            ",21,957642,",
            r"instance_prices\.csv, line 2: 9 cells.*8 columns",
        ),
        (
            "aws/instance_prices.csv",
            2,
            ",21.957642,",
            ",-1,",
            r"instance_prices\.csv, line 2: column 'usd_per_hour' is '-1'",
        ),
        (
            "azure/service_prices.csv",
            3,
            "nat_gateway_gb",
            "nat_gateway_hour",
            r"line 3: .*nat_gateway_hour is priced twice",
        ),
        ("azure/defaults.yaml", 2, "name:", "nmae:", r"defaults\.yaml: .*unknown column 'nmae'"),
        ("gpus.yaml", 9, "- name", "  - name", r"gpus\.yaml: not valid YAML"),
    ],
)
def test_a_broken_row_is_named(folder: Path, file: str, line: int, old: str, new: str, message: str) -> None:
    break_line(folder / file, line, old, new)
    catalog = Catalog.load(folder)
    with pytest.raises(CatalogError, match=message):
        (
            catalog.gpus,
            catalog.instance_types,
            catalog.prices,
            [catalog.provider_defaults(p) for p in catalog.providers],
        )


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "aws" / "service_prices.csv").unlink()
    with pytest.raises(CatalogError, match=r"service_prices\.csv: cannot be read"):
        _ = Catalog.load(folder).prices


def test_version_follows_the_data(folder: Path) -> None:
    assert re.fullmatch(r"[0-9a-f]{12}", CATALOG.version)
    assert Catalog.load(folder).version == CATALOG.version
    (folder / "aws" / "instance_prices.csv").rename(folder / "aws" / "instance_price.csv")
    assert Catalog.load(folder).version != CATALOG.version


def test_a_cloud_is_a_folder(folder: Path) -> None:
    shutil.copytree(folder / "azure", folder / "newcloud")
    catalog = Catalog.load(folder)
    assert catalog.providers == ("aws", "azure", "newcloud")
    assert catalog.instance_type("newcloud", "Standard_ND96asr_v4").provider == "newcloud"
    regions = catalog.prices.regions("newcloud", "Standard_ND96asr_v4")
    assert regions == CATALOG.prices.regions("azure", "Standard_ND96asr_v4") != ()


def test_packaged_catalog_is_loaded_once() -> None:
    assert Catalog.load() is CATALOG
