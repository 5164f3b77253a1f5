"""AWS's live sources: against moto where moto has the operation, else against documented answers; and their faults."""

import json
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest

from provider_catalog.catalog import Catalog
from provider_catalog.errors import LiveError
from provider_catalog.live.aws import commitments, instance_types, price_list, spot
from provider_catalog.live.live_source import MAX_UNANSWERED, Fetched, Limits, Request
from tests.support import faulty_http
from tests.support.boto_shapes import strict_requests
from tests.support.faulty_http import Answer, Server
from tests.support.moto_server import MotoServer

# These tests start a local AWS.
pytestmark = pytest.mark.slow

CATALOG = Catalog.load()
TODAY = date(2026, 11, 24)
FAST = Limits(connect_timeout_s=1, read_timeout_s=0.4, attempts=2)
EC2_NAMESPACE = 'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    strict_requests(monkeypatch)


@pytest.fixture(autouse=True)
def signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set dummy credentials and hide the machine's own configuration."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "no-such-file")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "no-such-file")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with faulty_http.serve() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        yield running


@pytest.fixture
def moto(aws: MotoServer, monkeypatch: pytest.MonkeyPatch) -> MotoServer:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    return aws


def request(*regions: str, limits: Limits = FAST) -> Request:
    return Request(CATALOG, "aws", regions or ("us-east-1",), TODAY, limits)


def ignore(done: int, total: int) -> None:
    pass


def product(
    usage_type: str, usd: str, unit: str = "Hrs", region: str = "us-east-1", begin: str = "0", **attributes: str
) -> str:
    """An entry of PriceList. AWS Price List API reference, GetProducts, example response."""
    rate = {
        "unit": unit,
        "endRange": "Inf",
        "description": f"${usd} per {unit}",
        "appliesTo": [],
        "rateCode": "VB6HCPDC9R3JXGWK.JRTCKXETXF.6YS6EN2CT7",
        "beginRange": begin,
        "pricePerUnit": {"USD": usd},
    }
    term = {
        "priceDimensions": {rate["rateCode"]: rate},
        "sku": "VB6HCPDC9R3JXGWK",
        "effectiveDate": "2026-11-01T00:00:00Z",
        "offerTermCode": "JRTCKXETXF",
        "termAttributes": {},
    }
    return json.dumps(
        {
            "product": {
                "productFamily": "Compute Instance",
                "attributes": {"usagetype": usage_type, "regionCode": region, **attributes},
                "sku": "VB6HCPDC9R3JXGWK",
            },
            "serviceCode": "AmazonEC2",
            "terms": {"OnDemand": {"VB6HCPDC9R3JXGWK.JRTCKXETXF": term}},
            "version": "20261101000000",
            "publicationDate": "2026-11-01T00:00:00Z",
        }
    )


def products(*entries: str, token: str | None = None) -> dict[str, Any]:
    return {"FormatVersion": "aws_v1", "PriceList": list(entries), **({"NextToken": token} if token else {})}


def asked(seen: faulty_http.Seen) -> dict[str, str]:
    """Filters of a GetProducts request by field."""
    return {entry["Field"]: entry["Value"] for entry in json.loads(seen.body)["Filters"]}


def test_on_demand_prices_are_read_page_by_page(server: Server) -> None:
    def respond(seen: faulty_http.Seen) -> Answer:
        if asked(seen)["instanceType"] != "p5.48xlarge":
            return Answer(products())
        if "NextToken" not in json.loads(seen.body):
            return Answer(products(product("BoxUsage:p5.48xlarge", "55.0400000000"), token="more"))
        return Answer(
            products(
                product("USE2-BoxUsage:p5.48xlarge", "55.0400000000", region="us-east-2"),
                product("EUW2-BoxUsage:p5.48xlarge", "79.0", region="eu-west-2"),
                product("USE2-Reservation:p5.48xlarge", "55.0400000000", region="us-east-2"),
                product("USE2-UnusedBox:p5.48xlarge", "0.0000000000", region="us-east-2"),
            )
        )

    server.respond = respond
    fetched = price_list.fetch_on_demand(request("us-east-1", "us-east-2"), ignore)
    assert [(p.region, p.instance_type, p.option, p.usd_per_hour) for p in fetched.instances] == [
        ("us-east-1", "p5.48xlarge", "on-demand", 55.04),
        ("us-east-2", "p5.48xlarge", "on-demand", 55.04),
    ]
    assert fetched.instances[0].provenance.kind == "live"
    filters = asked(server.seen[0])
    # Without these the list also holds Windows, dedicated hosts and unused reservations.
    assert filters.items() >= {"operatingSystem": "Linux", "tenancy": "Shared", "capacitystatus": "Used"}.items()


def test_a_type_that_is_listed_twice_has_one_price(server: Server) -> None:
    # Two rows for one type would spoil the file of prices; a bill should rather say too much than too little.
    def respond(seen: faulty_http.Seen) -> Answer:
        if asked(seen)["instanceType"] != "p5.48xlarge":
            return Answer(products())
        doubled = [product("BoxUsage:p5.48xlarge", usd) for usd in ("55.0400000000", "98.32", "55.0400000000")]
        return Answer(products(*doubled))

    server.respond = respond
    fetched = price_list.fetch_on_demand(request(), ignore)
    assert [price.usd_per_hour for price in fetched.instances] == [98.32]
    assert fetched.notes == ["p5.48xlarge in us-east-1: 55.04, 98.32 USD an hour are listed; the highest is used"]


def test_service_prices_are_read_by_usage_type(server: Server) -> None:
    def respond(seen: faulty_http.Seen) -> Answer:
        filters, code = asked(seen), json.loads(seen.body)["ServiceCode"]
        if code == "AmazonFSx":
            tiers = [
                product(f"USE2-Storage.SSD.{tier}", usd, "GB-Mo", "us-east-2")
                for tier, usd in (("125", "0.145"), ("250", "0.210"))
            ]
            return Answer(products(*tiers, product("USE2-BackupUsage", "0.05", "GB-Mo", "us-east-2")))
        if filters.get("productFamily") == "NAT Gateway":
            return Answer(
                products(
                    product("USE2-NatGateway-Hours", "0.0450000000", "Hrs", "us-east-2"),
                    product("USE2-NatGateway-Bytes", "0.0460000000", "GB", "us-east-2"),
                )
            )
        if code == "awskms":
            return Answer(products(product("us-east-2-KMS-Keys", "1.0000000000", "months", "us-east-2")))
        if filters.get("instanceType") == "m7i.large":
            return Answer(products(product("USE2-BoxUsage:m7i.large", "0.1008", "Hrs", "us-east-2")))
        if filters.get("productFamily") == "Alarm":
            entries = [product("USE2-CW:AlarmMonitorUsage", usd, "Alarms", "us-east-2") for usd in ("0.10", "0.30")]
            return Answer(products(*entries))
        return Answer(products())

    server.respond = respond
    fetched = price_list.fetch_services(request("us-east-2"), ignore)
    assert {price.sku: price.unit_price_usd for price in fetched.services} == {
        "PERSISTENT_2-125": 0.145,
        "PERSISTENT_2-250": 0.21,
        "nat_gateway_hour": 0.045,
        "nat_gateway_gb": 0.046,
        "encryption_key_month": 1.0,
        "lustre_backup_gb_month": 0.05,
        "m7i.large": 0.1008,
    }
    # What is not found, or found twice, is said and left as it was.
    assert any(note.startswith("alarm_month in us-east-2: 2 prices") for note in fetched.notes)
    assert any(note.startswith("log_gb in us-east-2: no price") for note in fetched.notes)


def test_a_service_that_fails_leaves_the_others(server: Server) -> None:
    def respond(seen: faulty_http.Seen) -> Answer:
        if json.loads(seen.body)["ServiceCode"] == "awskms":
            return json_error("ThrottlingException")
        if asked(seen).get("productFamily") == "NAT Gateway":
            return Answer(products(product("USE2-NatGateway-Hours", "0.0450000000", "Hrs", "us-east-2")))
        return Answer(products())

    server.respond = respond
    fetched = price_list.fetch_services(request("us-east-2"), ignore)
    assert {price.sku for price in fetched.services} == {"nat_gateway_hour"}
    [failure] = fetched.failures
    assert "throttled" in failure
    # What comes after it was asked for all the same.
    assert any(note.startswith("PERSISTENT_2-1000") for note in fetched.notes)


def test_a_network_that_goes_away_ends_the_source_with_what_it_has(server: Server) -> None:
    def respond(seen: faulty_http.Seen) -> Answer:
        if asked(seen).get("productFamily") == "NAT Gateway":
            return Answer(products(product("USE2-NatGateway-Hours", "0.0450000000", "Hrs", "us-east-2")))
        gone = any(asked(each).get("productFamily") == "NAT Gateway" for each in server.seen)
        return Answer(delay_s=0.8) if gone else Answer(products())

    server.respond = respond
    fetched = price_list.fetch_services(request("us-east-2"), ignore)
    assert {price.sku for price in fetched.services} == {"nat_gateway_hour"}
    assert len(fetched.failures) == MAX_UNANSWERED
    assert "look-ups were not made" in fetched.failures[-1]


@pytest.mark.slow
def test_spot_prices_by_zone_from_moto(moto: MotoServer) -> None:
    fetched = spot.fetch_prices(request("us-east-1", limits=Limits()), ignore)
    assert fetched.answered == {"us-east-1"}
    assert fetched.instances
    assert all(price.zone and price.zone.startswith("use1-az") for price in fetched.instances)
    assert {price.option for price in fetched.instances} == {"spot"}
    for price in fetched.instances:
        on_demand = CATALOG.prices.instance("aws", "us-east-1", price.instance_type, "on-demand")
        assert on_demand is None or price.usd_per_hour < on_demand.usd_per_hour


def test_hardware_facts_agree_with_moto(moto: MotoServer) -> None:
    """moto carries EC2's own answer, from which the catalog's rows were taken."""
    fetched = instance_types.check(request("us-east-1", limits=Limits()), ignore)
    catalogued = {name for provider, name in CATALOG.instance_types if provider == "aws"}
    assert [note for note in fetched.notes if note.partition(":")[0] in catalogued] == []
    assert not fetched.instances


def test_a_differing_fact_is_noted(moto: MotoServer) -> None:
    wrong = Catalog(CATALOG.folder)
    real = CATALOG.instance_types["aws", "p5.48xlarge"]
    wrong.__dict__["instance_types"] = {("aws", "p5.48xlarge"): real.model_copy(update={"vcpus": 96})}
    fetched = instance_types.check(Request(wrong, "aws", ("us-east-1",), TODAY), ignore)
    assert "p5.48xlarge: vcpus is 96 in the catalog and 192 in the answer of EC2" in fetched.notes


def rate(region: str, plan: str, years: int, usd: str) -> dict[str, Any]:
    """Savings Plans API reference, DescribeSavingsPlansOfferingRates, response elements."""
    return {
        "savingsPlanOffering": {
            "offeringId": "4fbbcf2a-1a1a-4c3a-9b3b-3f1e6d6f2a1b",
            "paymentOption": "No Upfront",
            "planType": plan,
            "durationSeconds": years * 31536000,
            "currency": "USD",
            "planDescription": f"{years} year No Upfront {plan} Savings Plan",
        },
        "rate": usd,
        "unit": "Hrs",
        "productType": "EC2",
        "serviceCode": "AmazonEC2",
        "usageType": "BoxUsage:p5.48xlarge",
        "operation": "RunInstances",
        "properties": [
            {"name": "region", "value": region},
            {"name": "instanceType", "value": "p5.48xlarge"},
            {"name": "productDescription", "value": "Linux/UNIX"},
            {"name": "tenancy", "value": "shared"},
        ],
    }


def test_savings_plans_become_reserved_rates(server: Server) -> None:
    def respond(seen: faulty_http.Seen) -> Answer:
        body = json.loads(seen.body)
        assert body["savingsPlanPaymentOptions"] == ["No Upfront"]
        if body["filters"][0]["values"] != ["p5.48xlarge"]:
            return Answer({"searchResults": []})
        if "nextToken" not in body:
            first = [rate("us-east-1", "Compute", 1, "44.0"), rate("us-east-1", "EC2Instance", 1, "40.0")]
            first.append(rate("us-east-1", "EC2Instance", 1, "39.0") | {"usageType": "UnusedBox:p5.48xlarge"})
            return Answer({"searchResults": first, "nextToken": "more"})
        return Answer({"searchResults": [rate("us-east-1", "Compute", 3, "31.5")]})

    server.respond = respond
    fetched = commitments.fetch_savings_plans(request(), ignore)
    assert {(p.region, p.option): p.usd_per_hour for p in fetched.instances} == {
        ("us-east-1", "reserved-1y"): 40.0,
        ("us-east-1", "reserved-3y"): 31.5,
    }


def test_savings_plans_without_end_are_left(server: Server) -> None:
    """boto3 has no paginator for this operation, so nothing else stops an endless list."""
    server.play(Answer({"searchResults": [rate("us-east-1", "Compute", 1, "44.0")], "nextToken": "again"}))
    with pytest.raises(LiveError, match="does not end"):
        commitments.fetch_savings_plans(request(), ignore)
    assert len(server.seen) == 2


def test_a_price_list_without_end_is_left(server: Server) -> None:
    server.play(Answer(products(product("BoxUsage:p5.48xlarge", "55.04"), token="again")))
    with pytest.raises(LiveError, match="token"):
        price_list.fetch_on_demand(request(), ignore)


def ec2(operation: str, body: str) -> Answer:
    raw = f"<{operation}Response {EC2_NAMESPACE}><requestId>1</requestId>{body}</{operation}Response>"
    return Answer(raw=raw, headers={"Content-Type": "text/xml"})


ZONES = ec2(
    "DescribeAvailabilityZones",
    "<availabilityZoneInfo><item><zoneName>us-east-1a</zoneName><zoneId>use1-az6</zoneId></item></availabilityZoneInfo>",
)


REGIONS = ec2(
    "DescribeRegions",
    "<regionInfo><item><regionName>us-east-1</regionName></item><item><regionName>us-west-2</regionName></item>"
    "</regionInfo>",
)


def ec2_only(answers: dict[str, Answer]) -> Callable[[faulty_http.Seen], Answer]:
    """Answer by the Action of the request; the request for zones always succeeds."""

    def respond(seen: faulty_http.Seen) -> Answer:
        action = seen.body.split("Action=")[1].split("&")[0]
        return ({"DescribeAvailabilityZones": ZONES, "DescribeRegions": REGIONS} | answers)[action]

    return respond


def test_the_fee_of_a_capacity_block_is_a_price_for_each_instance_hour(server: Server) -> None:
    """EC2 API reference, DescribeCapacityBlockOfferings, example response: the fee is for all instances and hours."""
    offering = (
        "<item><capacityBlockOfferingId>cbr-0123456789abcdefg</capacityBlockOfferingId>"
        "<instanceType>p5.48xlarge</instanceType><availabilityZone>us-east-1a</availabilityZone>"
        "<instanceCount>1</instanceCount><startDate>2026-12-01T11:30:00.000Z</startDate>"
        "<endDate>2026-12-08T11:30:00.000Z</endDate><capacityBlockDurationHours>168</capacityBlockDurationHours>"
        "<upfrontFee>{fee}</upfrontFee><currencyCode>USD</currencyCode><tenancy>default</tenancy></item>"
    )
    both = offering.format(fee="6607.44") + offering.format(fee="7000.00")
    body = f"<capacityBlockOfferingSet>{both}</capacityBlockOfferingSet>"
    server.respond = ec2_only({"DescribeCapacityBlockOfferings": ec2("DescribeCapacityBlockOfferings", body)})
    fetched = commitments.fetch_capacity_blocks(request(), ignore)
    found = {p.instance_type: (p.zone, p.option, p.usd_per_hour) for p in fetched.instances}
    assert found["p5.48xlarge"] == ("use1-az6", "capacity-block", 39.33)


def test_placement_scores_are_asked_for_ten_regions_at_a_time(server: Server) -> None:
    body = (
        "<spotPlacementScoreSet><item><region>us-east-1</region><availabilityZoneId>use1-az6</availabilityZoneId>"
        "<score>3</score></item></spotPlacementScoreSet>"
    )
    server.respond = ec2_only({"GetSpotPlacementScores": ec2("GetSpotPlacementScores", body)})
    # All regions: a request names ten at most, which the service model says and the fixture above insists on.
    fetched = spot.fetch_scores(request(*CATALOG.regions("aws")), ignore)
    assert {(s.region, s.zone, s.score) for s in fetched.scores} == {("us-east-1", "use1-az6", 3)}
    # One type alone, or two, are always scored low (EC2 API reference): asking would mislead.
    assert {s.instance_type.split(".")[0] for s in fetched.scores} == {"g5", "g6", "g6e"}
    assert any("p4d" in note and "always scores" in note for note in fetched.notes)
    assert not fetched.instances


def json_error(code: str) -> Answer:
    return Answer({"__type": code, "message": "as the service says it"}, status=400)


def xml_error(code: str, status: int = 403) -> Answer:
    raw = f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors></Response>"
    return Answer(raw=raw, status=status, headers={"Content-Type": "text/xml"})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (json_error("AccessDeniedException"), "not permitted; allow the action pricing:GetProducts"),
        (json_error("ExpiredTokenException"), "credentials have expired"),
        (json_error("UnrecognizedClientException"), "does not accept the credentials"),
        (json_error("ThrottlingException"), "throttled .* after every attempt"),
        (json_error("InternalErrorException"), "as the service says it"),
        (Answer({}, status=500), "500"),
        (Answer(delay_s=0.8), "no answer .*check the network"),
        (Answer(products(product("BoxUsage:p5.48xlarge", "55.04")), truncate_to=60), "pricing:GetProducts"),
        (Answer(raw="<html>sign in</html>"), "pricing:GetProducts"),
        (Answer(products("{half an entry")), "documented shape"),
        (Answer(products('{"product": {"attributes": {"usagetype": "BoxUsage:x"}}}')), "documented shape.*terms"),
        (Answer({"FormatVersion": "aws_v1"}), "documented shape"),
        (Answer(products()), "no on-demand price for any instance type"),
    ],
)
def test_price_list_faults_are_said(server: Server, answer: Answer, message: str) -> None:
    server.play(answer)
    with pytest.raises(LiveError, match=message):
        price_list.fetch_on_demand(request(), ignore)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (xml_error("UnauthorizedOperation"), "allow the action ec2:DescribeSpotPriceHistory"),
        (xml_error("AuthFailure", 401), "does not accept the credentials .*enabled the region"),
        (xml_error("RequestExpired", 400), "set the clock of this machine"),
        (xml_error("ExpiredToken", 400), "credentials have expired"),
        (xml_error("RequestLimitExceeded", 503), "throttled"),
        (Answer(raw="<!doctype html><title>500", status=500), "does not come from AWS"),
        (Answer(raw="<!doctype html><title>sign in to the network", status=200), "does not come from AWS"),
        (Answer(raw="<html><body>sign in</body></html>", status=200), "documented shape|does not come from AWS"),
    ],
)
def test_ec2_refusals_name_the_action(server: Server, answer: Answer, message: str) -> None:
    server.respond = ec2_only({"DescribeSpotPriceHistory": answer})
    with pytest.raises(LiveError, match=message):
        spot.fetch_prices(request(), ignore)


def test_a_throttled_request_is_tried_again(server: Server) -> None:
    server.play(json_error("ThrottlingException"), Answer(products(product("BoxUsage:g5.xlarge", "1.006"))))
    assert price_list.fetch_on_demand(request(), ignore).instances


SPOT = ec2(
    "DescribeSpotPriceHistory",
    "<spotPriceHistorySet><item><instanceType>g5.xlarge</instanceType>"
    "<productDescription>Linux/UNIX</productDescription><spotPrice>0.4</spotPrice>"
    "<timestamp>2026-11-24T00:00:00.000Z</timestamp><availabilityZone>us-east-1a</availabilityZone>"
    "</item></spotPriceHistorySet>",
)


def test_a_region_that_fails_leaves_the_others(server: Server) -> None:
    def respond(seen: faulty_http.Seen) -> Answer:
        if "/us-west-2/" in seen.headers["Authorization"]:
            return xml_error("InternalError", 500)
        return ec2_only({"DescribeSpotPriceHistory": SPOT})(seen)

    server.respond = respond
    fetched: Fetched = spot.fetch_prices(request("us-east-1", "us-west-2"), ignore)
    assert [(p.region, p.zone, p.usd_per_hour) for p in fetched.instances] == [("us-east-1", "use1-az6", 0.4)]
    assert fetched.answered == {"us-east-1"}
    assert len(fetched.failures) == 1
    assert fetched.failures[0].startswith("us-west-2: ")


def test_a_region_that_is_not_enabled_is_not_asked(server: Server) -> None:
    server.respond = ec2_only({"DescribeSpotPriceHistory": SPOT})
    fetched = spot.fetch_prices(request("us-east-1", "me-central-1"), ignore)
    assert fetched.answered == {"us-east-1"}
    assert fetched.failures == []
    assert fetched.notes == ["me-central-1: not enabled in this account; its prices stay as they were"]
    assert not any("/me-central-1/" in seen.headers["Authorization"] for seen in server.seen)


def test_who_may_not_list_regions_may_still_ask_each(server: Server) -> None:
    server.respond = ec2_only({"DescribeRegions": xml_error("UnauthorizedOperation"), "DescribeSpotPriceHistory": SPOT})
    assert spot.fetch_prices(request(), ignore).answered == {"us-east-1"}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "no AWS credentials found; set AWS_PROFILE"),
        ({"AWS_PROFILE": "nobody"}, "nobody.*AWS_PROFILE names a profile"),
    ],
)
def test_missing_credentials_are_an_error_before_any_request(
    server: Server, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str | None], message: str
) -> None:
    for name, value in environment.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    with pytest.raises(LiveError, match=message):
        price_list.fetch_on_demand(request(), ignore)
    assert server.seen == []


def test_without_a_network_not_every_region_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty_http.serve() as gone:
        monkeypatch.setenv("AWS_ENDPOINT_URL", gone.url)
    asked: list[int] = []
    with pytest.raises(LiveError, match="the other regions were not asked"):
        spot.fetch_prices(request(*CATALOG.regions("aws")), lambda done, total: asked.append(done))
    assert len(asked) < MAX_UNANSWERED


def test_a_missing_network_is_an_error_that_says_what_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty_http.serve() as gone:
        monkeypatch.setenv("AWS_ENDPOINT_URL", gone.url)
    with pytest.raises(LiveError, match=r"no answer .*check the network"):
        price_list.fetch_on_demand(request(), ignore)
