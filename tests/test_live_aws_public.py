"""AWS's public price list files: streamed without credentials, in bounded memory, and what goes wrong."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from llmcluster.cli import cli
from provider_catalog.catalog import Catalog
from provider_catalog.errors import LiveError
from provider_catalog.live import aws, price_store
from provider_catalog.live.aws import bulk, client, public_prices
from provider_catalog.live.live_source import Fetched, Limits, Request
from tests.support import faulty_http
from tests.support.faulty_http import Answer, Seen, Server
from tests.support.price_list_files import file, linux, price

CATALOG = Catalog.packaged()
TODAY = date(2026, 11, 30)
FAST = Limits(connect_timeout_s=1, read_timeout_s=0.4, attempts=2, backoff_s=0.01)
P5 = linux("p5.48xlarge", "55.0400000000")


@pytest.fixture(autouse=True)
def nobody_signed_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "no-such-file")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "no-such-file")
    monkeypatch.setenv("LLMCLUSTER_PRICES", str(tmp_path / "prices"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with faulty_http.serve() as running:
        monkeypatch.setattr(bulk, "url", f"{running.url}/offers/v1.0/aws")
        yield running


def request(*regions: str, limits: Limits = FAST) -> Request:
    return Request(CATALOG, "aws", regions or ("us-east-1",), TODAY, limits)


def ignore(done: int, total: int) -> None:
    pass


def on_demand(*regions: str) -> Fetched:
    return public_prices.fetch_on_demand(request(*regions), ignore)


def test_linux_on_shared_hosts_is_read_from_the_file_of_each_region(server: Server) -> None:
    others = [
        linux("p5.48xlarge", "64.50", OperatingSystem="Windows"),
        linux("p5.48xlarge", "60.54", Tenancy="Dedicated"),
        linux("p5.48xlarge", "0.0", CapacityStatus="UnusedCapacityReservation"),
        linux("p5.48xlarge", "57.0", PreInstalledSW="SQL Std"),
        linux("p5.48xlarge", "39.33", MarketOption="CapacityBlock"),
        linux("p5.48xlarge", "34.68", TermType="Reserved"),
        linux("p5.48xlarge", "400.0", Currency="CNY"),
        linux("m5.large", "0.096"),
        price("BoxUsage:p5.48xlarge", "1.0", Unit="Quantity", InstanceType="p5.48xlarge"),
    ]

    def respond(seen: Seen) -> Answer:
        if "/us-east-1/" in seen.path:
            return Answer(raw=file(*others, P5))
        return Answer(raw=file(linux("p5.48xlarge", "79.0", "eu-west-2"), linux("g6.xlarge", "1.0", "eu-west-2")))

    server.respond = respond
    fetched = on_demand("us-east-1", "eu-west-2")
    assert {(p.region, p.instance_type): p.usd_per_hour for p in fetched.instances} == {
        ("us-east-1", "p5.48xlarge"): 55.04,
        ("eu-west-2", "p5.48xlarge"): 79.0,
        ("eu-west-2", "g6.xlarge"): 1.0,
    }
    assert server.seen[0].path == "/offers/v1.0/aws/AmazonEC2/current/us-east-1/index.csv"
    provenance = fetched.instances[0].provenance
    assert (provenance.kind, provenance.as_of) == ("live", "2026-11-30")
    assert "published 2026-11-20" in provenance.source
    assert not fetched.notes


def test_two_answers_for_one_price_are_reported(server: Server) -> None:
    server.play(Answer(raw=file(P5, P5, linux("p5.48xlarge", "98.32"))))
    fetched = on_demand()
    assert [price.usd_per_hour for price in fetched.instances] == [98.32]
    assert fetched.notes == ["p5.48xlarge in us-east-1: 55.04, 98.32 USD an hour are listed; the highest is used"]


def test_a_price_of_zero_is_no_price(server: Server) -> None:
    server.play(Answer(raw=file(P5, linux("g6.xlarge", "0.0000000000"))))
    fetched = on_demand()
    assert [price.instance_type for price in fetched.instances] == ["p5.48xlarge"]
    assert fetched.notes == ["g6.xlarge in us-east-1: only a price of 0 is listed; the old price stays"]


def test_services_are_read_from_the_file_of_each_service(server: Server) -> None:
    answers = {
        "AmazonEC2": file(
            price("NatGateway-Hours", "0.045", ProductFamily="NAT Gateway"),
            price("EBS:VolumeUsage.gp3", "0.08", "GB-Mo", ProductFamily="Storage", VolumeAPIName="gp3"),
            price("EBS:VolumeUsage.gp2", "0.10", "GB-Mo", ProductFamily="Storage", VolumeAPIName="gp2"),
            linux("m7i.xlarge", "0.2016"),
        ),
        "AmazonS3": file(
            price("TimedStorage-ByteHrs", "0.021", "GB-Mo", ProductFamily="Storage", volumeType="Standard",
                  StartingRange="512000", SKU="S3"),
            price("TimedStorage-ByteHrs", "0.023", "GB-Mo", ProductFamily="Storage", volumeType="Standard", SKU="S3"),
            service="AmazonS3",
        ),
        "AmazonFSx": file(
            price("Storage.SSD.125", "0.145", "GB-Mo", fileSystemType="Lustre"),
            price("Storage.SSD.250", "0.21", "GB-Mo", fileSystemType="Lustre"),
            service="AmazonFSx",
        ),
    }  # fmt: skip
    server.respond = lambda seen: Answer(raw=answers.get(seen.path.split("/")[4], file(P5)))
    fetched = public_prices.fetch_services(request(), ignore)
    found = {price.sku: price.unit_price_usd for price in fetched.services}
    assert found == {
        "nat_gateway_hour": 0.045,
        "root_disk_gb_month": 0.08,
        "m7i.xlarge": 0.2016,
        "object_storage_gb_month": 0.023,  # the first tier
        "PERSISTENT_2-125": 0.145,
        "PERSISTENT_2-250": 0.21,
    }
    assert any(note.startswith("public_ip_hour in us-east-1: no price") for note in fetched.notes)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Answer(status=404), "HTTP 404"),
        (Answer(status=503), "HTTP 503 after every attempt"),
        (Answer(delay_s=0.9), "no answer .*timed out"),
        (Answer(raw=file(P5), truncate_to=600), "broke off"),
        (Answer(raw=file(P5)[:-120]), "broke off after 0 rows, in the middle of a row"),
        (Answer(raw=file(P5, linux("g6.xlarge", "0.8"))[:-120]), "broke off after 1 rows, in the middle of a row"),
        (Answer(raw=file()), "holds no price; it may have broken off"),
        (Answer(raw=""), "no price list of AWS .*it is empty"),
        (
            Answer(raw="<html><body>Sign in to the network</body></html>"),
            "no price list of AWS .*check whether a proxy",
        ),
        (Answer(raw=file(P5).replace('"TermType"', '"Term"')), "has no column termtype"),
        (Answer(raw=file(linux("p5.48xlarge", "free"))), "row 1: could not convert string to float"),
        (Answer(raw="x" * 200_000), "a line of the answer has more than 100,000 characters"),
        (Answer(raw=file(linux("m5.large", "0.096"))), "no on-demand price for any instance type"),
    ],
)
def test_a_lasting_fault_is_said_and_keeps_nothing(server: Server, fault: Answer, message: str) -> None:
    server.play(fault)
    with pytest.raises(LiveError, match=message):
        on_demand()


def test_a_file_that_breaks_off_in_one_region_leaves_the_others(server: Server) -> None:
    broken, whole = Answer(raw=file(P5), truncate_to=600), Answer(raw=file(linux("p5.48xlarge", "55.04", "us-east-2")))
    server.respond = lambda seen: broken if "/us-east-1/" in seen.path else whole
    fetched = on_demand("us-east-1", "us-east-2")
    assert {price.region for price in fetched.instances} == fetched.answered == {"us-east-2"}
    [failure] = fetched.failures
    assert failure.startswith("us-east-1: ") and "broke off" in failure


def test_a_tenfold_jump_and_a_short_list_are_held_back(server: Server) -> None:
    known = {p.instance_type: p.usd_per_hour for p in CATALOG.instance_prices if p.region == "us-east-1"
             and p.provider == "aws" and p.option == "on-demand"}  # fmt: skip
    source = next(source for source in aws.SOURCES if source.name == "prices")
    before = (
        tuple(price for price in CATALOG.instance_prices if price.provider == "aws"),
        tuple(price for price in CATALOG.service_prices if price.provider == "aws"),
    )
    server.play(Answer(raw=file(*(linux(name, str(usd)) for name, usd in known.items()))))
    assert price_store.suspicions(source, on_demand(), before) == ()
    jumped = {**known, "p5.48xlarge": 10 * known["p5.48xlarge"]}
    server.play(Answer(raw=file(*(linux(name, str(usd)) for name, usd in jumped.items()))))
    [doubt] = price_store.suspicions(source, on_demand(), before)
    assert "p5.48xlarge" in doubt
    server.play(Answer(raw=file(P5)))
    assert any("vanish" in doubt or "lack" in doubt for doubt in price_store.suspicions(source, on_demand(), before))


@pytest.mark.slow
def test_a_server_that_hangs_is_given_up_in_seconds(server: Server) -> None:
    server.play(Answer(delay_s=30))
    started = time.monotonic()
    with pytest.raises(LiveError, match="the other regions were not asked"):
        on_demand("us-east-1", "us-east-2", "eu-west-1", "eu-west-2")
    assert time.monotonic() - started < 10
    defaults = Limits()
    assert defaults.attempts * max(defaults.connect_timeout_s, defaults.read_timeout_s) <= 30


def test_nobody_answers_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "url", "http://127.0.0.1:9/offers")
    with pytest.raises(LiveError, match=r"127\.0\.0\.1:9: no answer .*check the network and the proxy"):
        on_demand()


def test_without_credentials_list_prices_are_fetched_and_the_rest_is_skipped_with_a_line(
    server: Server, tmp_path: Path
) -> None:
    server.respond = lambda seen: Answer(raw=file(*(linux(name, usd) for name, usd in US_EAST_1.items())))
    result = CliRunner().invoke(cli, ["catalog", "refresh", "--provider", "aws", "--region", "us-east-1"])
    assert f"aws prices: {len(US_EAST_1)} prices" in result.stdout, result.output
    for skipped in ("spot", "savings-plans", "capacity-blocks", "placement-scores", "instance-types"):
        assert f"aws {skipped}: skipped, no AWS credentials" in result.stdout
    assert result.exit_code == 0, result.output
    assert (tmp_path / "prices" / "aws" / "instance_prices.csv").is_file()


US_EAST_1 = {
    price.instance_type: f"{price.usd_per_hour}"
    for price in CATALOG.instance_prices
    if (price.provider, price.region, price.option) == ("aws", "us-east-1", "on-demand")
}


def test_a_source_that_is_asked_for_by_name_fails_without_credentials(server: Server) -> None:
    result = CliRunner().invoke(
        cli, ["catalog", "refresh", "--provider", "aws", "--region", "us-east-1", "--what", "spot"]
    )
    assert result.exit_code == 4
    assert "no AWS credentials found" in result.stderr


def test_credentials_ask_the_api_in_place_of_the_file(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    server.play(Answer({"FormatVersion": "aws_v1", "PriceList": []}))
    assert client.missing_credentials() is None
    prices = next(source for source in aws.SOURCES if source.name == "prices")
    with pytest.raises(LiveError, match="GetProducts"):
        prices.fetch(request(), ignore)
    assert not any("index.csv" in seen.path for seen in server.seen)


MEMORY = """
import sys
from provider_catalog.live.aws import bulk
from provider_catalog.live.live_source import Limits
from provider_catalog.live.aws.public_prices import linux_rates
from tests.support.price_list_files import linux, lines, line, COLUMNS

reserved = linux("p5.48xlarge", "34.68", TermType="Reserved", PriceDescription="x" * 1500)
block = line([reserved.get(column, "") for column in COLUMNS]).encode() * 40
count = int(sys.argv[1])

def chunks(self, url, fields=None):
    yield "".join(lines([linux("p5.48xlarge", "55.04")])).encode()
    for _ in range(count):
        yield block
    yield "".join(line([row.get(c, "") for c in COLUMNS]) for row in [linux("g6.xlarge", "0.8048")]).encode()

bulk.HttpClient.chunks = chunks
file = bulk.PriceListFile("AmazonEC2", "us-east-1", Limits())
found = linux_rates(file.rows(), frozenset(["p5.48xlarge", "g6.xlarge"]))
print(found == {"p5.48xlarge": {55.04}, "g6.xlarge": {0.8048}}, len(block) * count, file.rows_read)
# The peak of this program alone; the one of getrusage would count the parent before the exec.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) * 1024)
"""


@pytest.mark.slow
def test_a_file_of_hundreds_of_megabytes_is_read_below_200_mb_of_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, "4500"], capture_output=True, text=True, check=True, timeout=300
    )
    found, peak = done.stdout.splitlines()
    right, sent_bytes, rows = found.split()
    assert right == "True"
    assert int(sent_bytes) > 250e6
    assert int(rows) == 4500 * 40 + 2
    assert int(peak) < 200e6
