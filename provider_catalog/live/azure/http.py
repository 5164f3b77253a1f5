"""Pages of a list of the Retail Prices API."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from provider_catalog.errors import LiveError
from provider_catalog.live.http import HttpClient
from provider_catalog.live.live_source import Limits

MAX_PAGES: Final = 1000
"""Number of pages above which a list is considered endless; the whole price list of a region has a few hundred."""


def get_pages(url: str, fields: dict[str, str], limits: Limits) -> Iterator[Any]:
    """Fetch every page of a list, following `NextPageLink` on the same host.

    Raises:
        LiveError: a page cannot be fetched, is not JSON, or links to another host.
    """
    http = HttpClient(url, limits)
    target: str | None = url
    followed: set[str] = set()
    for _ in range(MAX_PAGES):
        page = http.document(str(target), fields)
        if not isinstance(page, dict) or not isinstance(page.get("Items"), list):
            raise LiveError(f"{http.host}: the answer holds no Items; the interface may have changed")
        fields = {}
        yield page
        target = page.get("NextPageLink")
        if not target:
            return
        if not isinstance(target, str) or target in followed:
            raise LiveError(f"{http.host}: NextPageLink leads to no new page ({target!r}); the list does not end")
        followed.add(target)
        if _origin(target) != _origin(url):
            raise LiveError(
                f"{http.host}: the next page is on another host ({urlsplit(target).netloc}); the link was not followed"
            )
    raise LiveError(f"{http.host}: more than {MAX_PAGES} pages; the list does not end")


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
