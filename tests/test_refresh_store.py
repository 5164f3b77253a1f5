"""Price refreshes keep each other's results, whether they run at once or one after another."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaitingError
from datetime import date
from pathlib import Path

import pytest

from provider_catalog.catalog import Catalog
from provider_catalog.facts import Provenance
from provider_catalog.live import price_store, refresh
from provider_catalog.live.live_source import Fetched, LiveSource, PlacementScore, Request
from provider_catalog.prices import InstancePrice, PurchaseOption

CATALOG = Catalog.packaged()
TODAY = date(2026, 11, 24)


def price(option: PurchaseOption, usd: float) -> InstancePrice:
    return InstancePrice(
        provider="aws",
        region="us-east-1",
        zone=None,
        instance_type="p5.48xlarge",
        option=option,
        usd_per_hour=usd,
        provenance=Provenance(source="test", as_of="2026-11-24", kind="live"),
    )


def score(region: str, value: int) -> PlacementScore:
    return PlacementScore(
        provider="aws", region=region, zone="z1", instance_type="g6.xlarge", target_nodes=8, score=value,
        as_of="2026-11-24",
    )  # fmt: skip


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that refreshes the folder from one source with a given answer."""

    def run(folder: Path, fetched: Fetched) -> None:
        def fetch(request: Request, advance: object) -> Fetched:
            return fetched

        source = LiveSource(
            "only", "only", "none", fetch, options=frozenset({price.option for price in fetched.instances})
        )
        monkeypatch.setattr(refresh, "sources_of", lambda provider: (source,))
        order = refresh.RefreshOptions(providers=("aws",), regions=tuple(sorted(fetched.answered)), accept=True)
        [outcome] = refresh.refresh(CATALOG, folder, order, TODAY, lambda provider, source: lambda done, total: None)
        assert outcome.is_complete, outcome.reasons

    return run


def test_a_refresh_waits_for_another_and_keeps_its_prices(tmp_path: Path, answering: Callable[..., None]) -> None:
    ours = Fetched(instances=[price("on-demand", 50.0)], answered={"us-east-1"})
    with ThreadPoolExecutor(1) as pool:
        with price_store.locked(tmp_path):
            waiting = pool.submit(answering, tmp_path, ours)
            with pytest.raises(StillWaitingError):
                waiting.result(timeout=0.3)
            price_store.write(tmp_path, "aws", price_store.StoredPrices((price("reserved-1y", 30.0),), ()))
        waiting.result(timeout=30)
    kept = price_store.read_stored(tmp_path, "aws").instances
    assert {each.option: each.usd_per_hour for each in kept} == {"on-demand": 50.0, "reserved-1y": 30.0}


def test_scores_of_regions_that_were_not_asked_stay(tmp_path: Path, answering: Callable[..., None]) -> None:
    answering(
        tmp_path, Fetched(scores=[score("us-east-1", 3), score("us-west-2", 5)], answered={"us-east-1", "us-west-2"})
    )
    answering(tmp_path, Fetched(scores=[score("us-east-1", 9)], answered={"us-east-1"}))
    scores = {each.region: each.score for each in price_store.read_scores(tmp_path, "aws")}
    assert scores == {"us-east-1": 9, "us-west-2": 5}
