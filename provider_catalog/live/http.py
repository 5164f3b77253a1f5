"""Requests through azure-core's pipeline: time-outs, retries with back-off, and errors that say what to do."""

import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from azure.core import PipelineClient
from azure.core.exceptions import (
    AzureError,
    DecodeError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
    TooManyRedirectsError,
)
from azure.core.pipeline.policies import RetryPolicy, UserAgentPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest

from provider_catalog.errors import LiveError, NoAnswerError
from provider_catalog.live.live_source import Limits

_RETRIED: Final = (429, 500, 502, 503, 504)
_LONGEST_WAIT_S: Final = 30
"""Longest wait between attempts, even if Retry-After asks for more: the old prices stay until a later refresh."""
_SHOWN: Final = 80
"""Characters of an unexpected answer that a message quotes."""


class BoundedRetryPolicy(RetryPolicy[Any, Any]):
    """A retry policy that follows Retry-After up to a longest wait."""

    def get_retry_after(self, response: Any) -> float | None:
        """The seconds to wait; None if the service states none."""
        wait = super().get_retry_after(response)
        return None if wait is None else min(wait, _LONGEST_WAIT_S)


class HttpClient:
    """A client for the public files and lists of one host; the proxy settings of the environment apply."""

    def __init__(self, url: str, limits: Limits) -> None:
        self.host = urlsplit(url).netloc
        retries = BoundedRetryPolicy(
            retry_total=limits.attempts - 1,
            retry_connect=limits.attempts - 1,
            retry_read=limits.attempts - 1,
            retry_status=limits.attempts - 1,
            retry_backoff_factor=limits.backoff_s,
            retry_backoff_max=_LONGEST_WAIT_S,
            retry_on_status_codes=list(_RETRIED),
        )
        self._client: PipelineClient[Any, Any] = PipelineClient(
            base_url=f"{urlsplit(url).scheme}://{self.host}",
            policies=[UserAgentPolicy(base_user_agent="llmcluster"), retries],
            transport=RequestsTransport(
                connection_timeout=limits.connect_timeout_s, read_timeout=limits.read_timeout_s
            ),
        )

    def document(self, url: str, fields: dict[str, str]) -> Any:
        """Fetch a JSON document.

        Raises:
            LiveError: nobody answers, or the answer is an error or no JSON.
        """
        body = b"".join(self.chunks(url, fields))
        try:
            return json.loads(body)
        except ValueError as error:
            raise LiveError(
                f"{self.host}: the answer is not JSON ({error}; {quoted(body)}); check whether a proxy answers"
            ) from error

    def chunks(self, url: str, fields: dict[str, str] | None = None) -> Iterator[bytes]:
        """Fetch a file piece by piece; it is never held as a whole.

        Raises:
            LiveError: nobody answers, the answer is an error, or it ends early.
        """
        request = HttpRequest("GET", url, params=fields or None, headers={"Accept": "*/*"})
        try:
            response = self._client.send_request(request, stream=True)
            with response:
                self._require_success(response.status_code)
                yield from response.iter_bytes()
        except (IncompleteReadError, DecodeError) as error:
            raise LiveError(f"{self.host}: the answer broke off ({_reason(error)})") from error
        except (ServiceRequestError, ServiceResponseError) as error:
            raise NoAnswerError(
                f"{self.host}: no answer ({_reason(error)}); check the network and the proxy"
            ) from error
        except TooManyRedirectsError as error:
            raise LiveError(f"{self.host}: redirected too often ({_reason(error)})") from error
        except AzureError as error:
            raise LiveError(f"{self.host}: {_reason(error)}") from error

    def _require_success(self, status: int) -> None:
        if status == 429:
            raise LiveError(f"{self.host}: throttled (HTTP 429) after every attempt; try again later")
        if status != 200:
            raise LiveError(f"{self.host}: HTTP {status} after every attempt")


def quoted(body: bytes) -> str:
    """The beginning of an unexpected answer on one line."""
    text = " ".join(body[: 4 * _SHOWN].decode("utf-8", "replace").split())
    return f"it begins with {text[:_SHOWN]!r}" if text else "it is empty"


def _reason(error: AzureError) -> str:
    """The innermost reason on one line."""
    inner: Any = getattr(error, "inner_exception", None) or error
    while isinstance(inner, BaseException | tuple):
        parts = inner if isinstance(inner, tuple) else (getattr(inner, "reason", None) or inner.args)
        first = parts[0] if isinstance(parts, tuple) and parts else parts
        if not first:
            break
        inner = first
    return " ".join(str(inner).split())[:200]
