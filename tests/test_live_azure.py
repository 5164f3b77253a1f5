"""Azure's live sources against a local server that plays documented answers, and every way in which they go wrong."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import SansIOHTTPPolicy

from provider_catalog.catalog import Catalog
from provider_catalog.errors import LiveError
from provider_catalog.live.azure import retail, skus
from provider_catalog.live.live_source import MAX_UNANSWERED, Fetched, Limits, Request
from tests.support import faulty_http
from tests.support.faulty_http import Answer, Server
from tests.support.retail_items import item, page

CATALOG = Catalog.load()
H100 = "Standard_ND96isr_H100_v5"
TODAY = date(2026, 11, 24)
FAST = Limits(connect_timeout_s=1, read_timeout_s=0.3, attempts=3, backoff_s=0.01)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with faulty_http.serve() as running:
        monkeypatch.setattr(retail, "url", f"{running.url}/api/retail/prices")
        yield running


def request(*regions: str) -> Request:
    return Request(CATALOG, "azure", regions or ("eastus",), TODAY, FAST)


def ignore(done: int, total: int) -> None:
    pass


def prices(fetched: Fetched) -> dict[tuple[str, str], float]:
    return {(price.instance_type, price.option): price.usd_per_hour for price in fetched.instances}


def test_rows_become_prices_by_purchase_option(server: Server) -> None:
    server.play(
        Answer(
            page(
                item(H100, 98.32),
                item(H100, 39.33, meterName="ND96isr H100 v5 Spot"),
                item(H100, 20.0, meterName="ND96isr H100 v5 Low Priority"),
                item(H100, 139.0, productName="Virtual Machines NDsr H100 v5 Series Windows"),
                item(H100, 50.0, type="DevTestConsumption"),
                item(H100, 12.0, productName="NDsr H100 v5 Series Cloud Services"),
                # Microsoft Learn: the price of a reservation is that of the whole term.
                item(H100, 551_880.0, type="Reservation", reservationTerm="1 Year"),
                item(H100, 1_103_760.0, type="Reservation", reservationTerm="3 Years"),
            )
        )
    )
    fetched = retail.fetch_instances(request(), ignore)
    assert prices(fetched) == {
        (H100, "on-demand"): 98.32,
        (H100, "spot"): 39.33,
        (H100, "reserved-1y"): 63.0,
        (H100, "reserved-3y"): 42.0,
    }
    assert {price.provenance.kind for price in fetched.instances} == {"live"}
    assert {price.provenance.as_of for price in fetched.instances} == {"2026-11-24"}
    where = server.seen[0].query["$filter"][0]
    assert "armRegionName eq 'eastus'" in where
    assert f"armSkuName eq '{H100}'" in where


def test_a_recorded_answer_gives_on_demand_and_spot_prices(server: Server) -> None:
    """The API's answer of 2026 for Standard_D2s_v3 in eastus.

    Recorded in github.com/rshade/finfocus-plugin-azure-public, internal/pricing/testdata/retail/spot, commit
    0d26960af6f8714ed01577b2b89e1a75a19d8f5e.
    """
    recorded = Path(__file__).parent / "data" / "azure_retail_d2s_v3.json"
    server.play(Answer(raw=recorded.read_text(encoding="utf-8")))
    d2s = "Standard_D2s_v3"
    assert prices(retail.fetch_instances(request(), ignore)) == {(d2s, "on-demand"): 0.096, (d2s, "spot"): 0.018816}


def test_a_price_that_has_ended_is_none(server: Server) -> None:
    """The API lists rows whose effectiveEndDate lies behind (seen for Azure Kubernetes Service in 2026)."""
    ended = item(H100, 90.0, effectiveStartDate="2026-10-01T00:00:00Z", effectiveEndDate="2026-09-30T23:59:00Z")
    server.play(Answer(page(item(H100, 98.32), ended)))
    assert prices(retail.fetch_instances(request(), ignore)) == {(H100, "on-demand"): 98.32}


def test_the_newest_price_in_force_wins(server: Server) -> None:
    server.play(
        Answer(
            page(
                item(H100, 98.32, effectiveStartDate="2024-08-01T00:00:00Z"),
                item(H100, 90.0, effectiveStartDate="2026-02-01T00:00:00Z"),
                item(H100, 80.0, effectiveStartDate="2027-01-01T00:00:00Z"),
            )
        )
    )
    assert prices(retail.fetch_instances(request(), ignore)) == {(H100, "on-demand"): 90.0}


def test_spot_at_the_on_demand_price_is_no_market(server: Server) -> None:
    server.play(Answer(page(item(H100, 98.32), item(H100, 98.32, meterName="ND96isr H100 v5 Spot"))))
    assert prices(retail.fetch_instances(request(), ignore)) == {(H100, "on-demand"): 98.32}


def test_pages_are_followed_to_the_end(server: Server) -> None:
    second, third = (f"{server.url}/api/retail/prices?$skip={skip}" for skip in (1000, 2000))
    server.play(Answer(page(next_page=second)), Answer(page(next_page=third)), Answer(page(item(H100, 98.32))))
    assert prices(retail.fetch_instances(request(), ignore)) == {(H100, "on-demand"): 98.32}
    assert [seen.query.get("$skip") for seen in server.seen] == [None, ["1000"], ["2000"]]


@pytest.mark.parametrize("following", ["{url}/api/retail/prices?$skip=1000", 7])
def test_pages_that_go_in_a_circle_are_left(server: Server, following: str | int) -> None:
    link = following.format(url=server.url) if isinstance(following, str) else following
    server.play(Answer(page(item(H100, 98.32)) | {"NextPageLink": link}))
    with pytest.raises(LiveError, match="leads to no new page"):
        retail.fetch_instances(request(), ignore)
    assert len(server.seen) <= 2


def test_a_next_page_elsewhere_is_not_followed(server: Server) -> None:
    server.play(Answer(page(item(H100, 98.32), next_page="https://prices.example.com/api/retail/prices?$skip=1000")))
    with pytest.raises(LiveError, match=r"prices\.example\.com.*not followed"):
        retail.fetch_instances(request(), ignore)


def test_a_list_without_end_ends(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provider_catalog.live.azure.http.MAX_PAGES", 3)
    links = (f"{server.url}/api/retail/prices?$skip={skip}" for skip in range(1000))
    server.respond = lambda seen: Answer(page(next_page=next(links)))
    with pytest.raises(LiveError, match="does not end"):
        retail.fetch_instances(request(), ignore)


@pytest.mark.parametrize("fault", [Answer(status=429), Answer(status=500), Answer(status=503), Answer(delay_s=0.6)])
def test_a_passing_fault_is_tried_again(server: Server, fault: Answer) -> None:
    server.play(fault, Answer(page(item(H100, 98.32))))
    assert prices(retail.fetch_instances(request(), ignore)) == {(H100, "on-demand"): 98.32}
    assert len(server.seen) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Answer(status=429), r"throttled \(HTTP 429\) after every attempt"),
        (Answer(status=500), "HTTP 500 after every attempt"),
        (Answer(status=404), "HTTP 404"),
        (Answer(status=302, headers={"Location": "http://127.0.0.1:9/"}), "127.0.0.1"),
        (Answer(delay_s=0.6), "no answer .*timed out"),
        (Answer(page(item(H100, 98.32)), truncate_to=100), "no answer|broke off"),
        (Answer(raw='{"Items": [{"retailPrice": 98'), "not JSON"),
        (Answer(raw="<html>sign in to the network</html>"), "not JSON"),
        (Answer({"Error": "filter"}), "holds no Items"),
        (Answer(page({"retailPrice": 98.32})), "has no currencyCode"),
        (Answer(page(item(H100, 98.32, retailPrice="free"))), "documented shape"),
        (Answer(raw=json.dumps(page(item(H100, 98.32))).replace("98.32", "NaN")), "finite number, not nan"),
        (Answer(raw=json.dumps(page(item(H100, 98.32))).replace("98.32", "1e999")), "finite number, not inf"),
        (Answer({"Items": [None]}), "documented shape"),
        (Answer(page()), "no price for any size"),
    ],
)
def test_a_lasting_fault_is_said(server: Server, fault: Answer, message: str) -> None:
    server.play(fault)
    with pytest.raises(LiveError, match=message):
        retail.fetch_instances(request(), ignore)
    assert len(server.seen) <= FAST.attempts


def test_half_a_list_is_no_list(server: Server) -> None:
    """A region whose second page fails keeps its old prices; the other region's are taken."""
    more = f"{server.url}/api/retail/prices?$skip=1000"

    def respond(seen: faulty_http.Seen) -> Answer:
        if "$skip" in seen.query:
            return Answer(status=500)
        if "'eastus'" in seen.query["$filter"][0]:
            return Answer(page(item(H100, 98.32), next_page=more))
        return Answer(page(item(H100, 117.98, armRegionName="southcentralus")))

    server.respond = respond
    fetched = retail.fetch_instances(request("eastus", "southcentralus"), ignore)
    assert [(price.region, price.usd_per_hour) for price in fetched.instances] == [("southcentralus", 117.98)]
    assert fetched.answered == {"southcentralus"}
    assert [failure.partition(":")[0] for failure in fetched.failures] == ["eastus"]


def test_without_a_network_the_host_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty_http.serve() as gone:
        monkeypatch.setattr(retail, "url", f"{gone.url}/api/retail/prices")
    with pytest.raises(LiveError, match=r"127\.0\.0\.1.*no answer.*check the network"):
        retail.fetch_instances(request(), ignore)


@pytest.mark.slow
def test_without_a_network_not_every_region_is_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.play(Answer(delay_s=0.6))
    with pytest.raises(LiveError, match="the other regions were not asked"):
        retail.fetch_instances(request(*CATALOG.regions("azure")), ignore)
    assert len(server.seen) == MAX_UNANSWERED * FAST.attempts


def test_a_service_that_asks_for_hours_is_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", lambda seconds: slept.append(seconds) if seconds > 1 else None)
    server.play(Answer(status=429, headers={"Retry-After": "7200"}))
    with pytest.raises(LiveError, match="throttled"):
        retail.fetch_instances(request(), ignore)
    assert slept == [30] * (FAST.attempts - 1)


def test_savings_plans_stand_in_where_there_is_no_reservation(server: Server) -> None:
    """Shape of the item of Standard_B16als_v2 in 2023-01-01-preview: USD an hour by term, in the item itself."""
    plans = [
        {"unitPrice": 45.0, "retailPrice": 45.0, "term": "3 Years"},
        {"unitPrice": 70.0, "retailPrice": 70.0, "term": "1 Year"},
        {"unitPrice": 1.0, "retailPrice": 1.0, "term": "5 Years"},
        {"unitPrice": 0.0, "retailPrice": 0.0, "term": "1 Year"},  # what costs nothing is no rate
    ]
    reservation = item(H100, 551_880.0, type="Reservation", reservationTerm="1 Year")
    server.play(Answer(page(item(H100, 98.32, savingsPlan=plans), reservation)))
    fetched = retail.fetch_instances(request(), ignore)
    assert prices(fetched) == {
        (H100, "on-demand"): 98.32,
        (H100, "reserved-1y"): 63.0,
        (H100, "reserved-3y"): 45.0,
    }
    sources = {price.option: price.provenance.source for price in fetched.instances}
    assert sources["reserved-3y"] == "Azure Retail Prices API, savings plan for compute"
    assert sources["reserved-1y"] == "Azure Retail Prices API"


def test_service_prices_are_read_by_meter(server: Server) -> None:
    disk = {"serviceName": "Storage", "productName": "Premium SSD Managed Disks", "unitOfMeasure": "1/Month"}
    nat = {"serviceName": "NAT Gateway", "productName": "NAT Gateway", "armRegionName": "Global"}

    def respond(seen: faulty_http.Seen) -> Answer:
        where = seen.query["$filter"][0]
        if "'Storage'" in where:
            return Answer(
                page(item("", 19.71, meterName="P10 LRS Disk", **disk), item("", 9, meterName="P6 LRS Disk", **disk))
            )
        if "'NAT Gateway'" in where:
            return Answer(page(item("", 0.045, meterName="Standard Gateway", **nat)))
        return Answer(page())

    server.respond = respond
    fetched = retail.fetch_services(request(), ignore)
    found = {price.sku: price for price in fetched.services}
    # The tier holds 128 GiB; the catalog bills by the GiB.
    assert found["root_disk_gb_month"].unit_price_usd == pytest.approx(19.71 / 128)
    assert found["root_disk_gb_month"].unit == "GiB-month"
    assert found["nat_gateway_hour"].unit_price_usd == 0.045
    assert set(found) == {"root_disk_gb_month", "nat_gateway_hour"}
    assert any("public_ip_hour in eastus: no price" in note for note in fetched.notes)


def test_an_ambiguous_meter_is_not_guessed(server: Server) -> None:
    nat = {"serviceName": "NAT Gateway", "productName": "NAT Gateway", "armRegionName": "Global"}
    server.play(
        Answer(
            page(
                item("", 0.045, meterName="Standard Gateway", **nat),
                item("", 0.06, meterName="Standard Gateway", meterId="another", **nat),
            )
        )
    )
    fetched = retail.fetch_services(request(), ignore)
    assert "nat_gateway_hour" not in {price.sku for price in fetched.services}
    assert any(note.startswith("nat_gateway_hour in eastus: 2 prices") for note in fetched.notes)


def sku(name: str, **capabilities: str) -> dict[str, object]:
    """Azure REST reference, Resource Skus - List, sample response."""
    return {
        "resourceType": "virtualMachines",
        "name": name,
        "tier": "Standard",
        "size": name.removeprefix("Standard_"),
        "family": "standardNDSH100v5Family",
        "locations": ["eastus"],
        "locationInfo": [{"location": "eastus", "zones": ["1"]}],
        "capabilities": [{"name": key, "value": value} for key, value in capabilities.items()],
        "restrictions": [],
    }


class Token:
    subscription = "00000000-0000-0000-0000-000000000000"

    def get_token(self, *scopes: str, **options: object) -> AccessToken:
        return AccessToken("token", 4_000_000_000)


@pytest.fixture
def compute(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """azure-mgmt-compute itself against the server; the policy that insists on TLS is left out."""
    real = skus.compute_client

    def client(credential: object, subscription: str, limits: Limits) -> object:
        policy = SansIOHTTPPolicy()  # type: ignore[var-annotated]
        return real(credential, subscription, limits, base_url=server.url, authentication_policy=policy)

    monkeypatch.setattr(skus, "AzureCliCredential", Token)
    monkeypatch.setattr(skus, "compute_client", client)
    return server


def test_sizes_are_held_against_the_api(compute: Server) -> None:
    good = sku(H100, vCPUs="96", GPUs="8", MemoryGB="1900")
    wrong = sku("Standard_ND96asr_v4", vCPUs="96", GPUs="7", MemoryGB="900")
    wrong["restrictions"] = [
        {"type": "Location", "values": ["eastus"], "reasonCode": "NotAvailableForSubscription", "restrictionInfo": {}}
    ]
    compute.play(Answer({"value": [good, wrong, {"resourceType": "disks", "name": "P10"}]}))
    fetched = skus.check(request(), ignore)
    assert not fetched.instances
    assert "Standard_ND96asr_v4: gpus is 8 in the catalog and 7 in the answer of Azure" in fetched.notes
    assert any("restricted for this subscription (NotAvailableForSubscription)" in note for note in fetched.notes)
    assert not any(note.startswith(H100) for note in fetched.notes)
    assert any(
        note.endswith("the catalog has a price, and Azure does not offer the size there") for note in fetched.notes
    )


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "sign-in is not accepted or has expired; run `az login`"),
        (403, "not permitted; give this identity the action Microsoft.Compute/skus/read"),
        (429, "throttled after every attempt"),
        (500, "HTTP 500"),
    ],
)
def test_refusals_name_the_action(compute: Server, status: int, message: str) -> None:
    compute.play(Answer({"error": {"code": "x", "message": "y"}}, status=status, headers={"Retry-After": "0"}))
    with pytest.raises(LiveError, match=message):
        skus.check(request(), ignore)


@pytest.mark.parametrize(
    ("code", "out", "err", "message"),
    [
        (1, "", "ERROR: Please run 'az login' to setup account.", r"nobody is signed in to Azure \(ERROR: Please run"),
        (0, "{}", "", "not the documented answer"),
        (0, "token", "", "not the documented answer"),
    ],
)
def test_a_missing_sign_in_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, code: int, out: str, err: str, message: str
) -> None:
    done = SimpleNamespace(returncode=code, stdout=out, stderr=err)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("subprocess.run", lambda *args, **options: done)
    with pytest.raises(LiveError, match=message):
        skus.check(request(), ignore)


def test_a_missing_azure_command_line_is_an_error_that_says_how_to_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LiveError, match=r"not installed.*az login"):
        skus.check(request(), ignore)
