"""Requests for JSON pages with time-outs, back-off with jitter, and error messages that say what to do."""

import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from provider_catalog.errors import LiveError, NoAnswerError
from provider_catalog.live.live_source import Limits

MAX_PAGES: Final = 1000
"""Number of pages above which a list is considered endless; the whole price list of a region has a few hundred."""
_RETRIED: Final = (429, 500, 502, 503, 504)
_LONGEST_WAIT_S: Final = 30
"""Longest wait between attempts, even if Retry-After asks for more: the old prices stay until a later refresh."""


def get_pages(url: str, fields: dict[str, str], limits: Limits) -> Iterator[Any]:
    """Fetch every page of a list, following `NextPageLink` on the same host.

    Raises:
        LiveError: a page cannot be fetched, is not JSON, or links to another host.
    """
    http = _pool(url, limits)
    target: str | None = url
    followed: set[str] = set()
    for _ in range(MAX_PAGES):
        page = _get(http, str(target), fields)
        fields = {}
        yield page
        target = page.get("NextPageLink")
        if not target:
            return
        if not isinstance(target, str) or target in followed:
            raise LiveError(f"{_host(url)}: NextPageLink leads to no new page ({target!r}); the list does not end")
        followed.add(target)
        if _origin(target) != _origin(url):
            raise LiveError(
                f"{_host(url)}: the next page is on another host ({_host(target)}); the link was not followed"
            )
    raise LiveError(f"{_host(url)}: more than {MAX_PAGES} pages; the list does not end")


def _get(http: urllib3.PoolManager, url: str, fields: dict[str, str]) -> Any:
    try:
        response = http.request("GET", url, fields=fields or None)
    except urllib3.exceptions.MaxRetryError as error:
        # Only the reason is readable; the error around it repeats the request.
        raise NoAnswerError(f"{_host(url)}: no answer ({error.reason}); check the network and the proxy") from error
    except urllib3.exceptions.HTTPError as error:
        raise LiveError(f"{_host(url)}: the answer ended early ({error})") from error
    if response.status == 429:
        raise LiveError(f"{_host(url)}: throttled (HTTP 429) after every attempt; try again later")
    if response.status != 200:
        raise LiveError(f"{_host(url)}: HTTP {response.status} after every attempt")
    try:
        page = json.loads(response.data)
    except ValueError as error:
        raise LiveError(f"{_host(url)}: the answer is not JSON ({error})") from error
    if not isinstance(page, dict) or not isinstance(page.get("Items"), list):
        raise LiveError(f"{_host(url)}: the answer holds no Items; the interface may have changed")
    return page


def _pool(url: str, limits: Limits) -> urllib3.PoolManager:
    settings: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=limits.connect_timeout_s, read=limits.read_timeout_s),
        "retries": urllib3.Retry(
            total=limits.attempts - 1,
            status_forcelist=_RETRIED,
            backoff_factor=limits.backoff_s,
            backoff_jitter=limits.backoff_s,
            backoff_max=_LONGEST_WAIT_S,
            retry_after_max=_LONGEST_WAIT_S,
            redirect=0,
            raise_on_status=False,
        ),
        "headers": {"User-Agent": "llmcluster", "Accept": "application/json"},
    }
    host = urlsplit(url).hostname or ""
    proxy = None if proxy_bypass(host) else getproxies().get(urlsplit(url).scheme)
    return urllib3.ProxyManager(proxy, **settings) if proxy else urllib3.PoolManager(**settings)


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _host(url: str) -> str:
    return urlsplit(url).netloc
