"""boto3 clients with time-outs and back-off, and messages for boto's errors that say what to do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any, Final

import boto3
import botocore.exceptions as boto_errors
import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.parsers import ResponseParserError

from provider_catalog.errors import LiveError, NoAnswerError
from provider_catalog.live.live_source import Fetched, Limits, ReportProgress, Request, by_region, documented_shape

PRICING_REGION = "us-east-1"
"""Region whose endpoints give prices of all regions. The Price List API has endpoints in three regions
(docs.aws.amazon.com, Price List Query API endpoints); Savings Plans has a single endpoint."""

LONGEST_REASON: Final = 200
"""Largest number of characters that a message quotes from a service."""

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException"})
_SKEWED = frozenset({"RequestExpired", "RequestTimeTooSkewed"})
_INVALID = frozenset(
    {"AuthFailure", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch"}
    | {"UnrecognizedClientException"}
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedAccess"})
_THROTTLED = frozenset(
    {"RequestLimitExceeded", "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException"}
)


def client(service: str, region: str, limits: Limits) -> Any:
    """Make a boto3 client; boto's configuration, such as `AWS_PROFILE` and `AWS_ENDPOINT_URL`, applies."""
    config = Config(
        connect_timeout=limits.connect_timeout_s,
        read_timeout=limits.read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": limits.attempts},
        user_agent_extra="llmcluster",
    )
    with as_live_error(f"{service} in {region}", permission=""):
        core = botocore.session.get_session()
        core.register_component("data_loader", _models())
        return boto3.session.Session(botocore_session=core).client(service, region_name=region, config=config)


def missing_credentials() -> str | None:
    """Say that boto's default chain finds no credentials; None where it does."""
    try:
        found = botocore.session.get_session().get_credentials()
    except boto_errors.BotoCoreError as error:
        return f"no AWS credentials ({_one_line(str(error))})"
    return None if found is not None else "no AWS credentials; set AWS_PROFILE, or run `aws sso login`"


@cache
def _models() -> Any:
    """The loader of botocore's service models, shared so that each model is parsed once.

    The model of EC2 takes half a second, and a refresh makes a client for every region.
    """
    return botocore.loaders.create_loader()


def pages(client: Any, operation: str, key: str, permission: str, **arguments: Any) -> Iterator[Any]:
    """The entries under `key` in every page of an operation.

    Raises:
        LiveError: a page cannot be fetched, or differs from the service model.
    """
    where = f"{permission} in {client.meta.region_name}"
    with as_live_error(where, permission):
        if not client.can_paginate(operation):
            yield from getattr(client, operation)(**arguments)[key]
            return
        for page in client.get_paginator(operation).paginate(**arguments):
            yield from page[key]


def by_enabled_region(request: Request, advance: ReportProgress, ask: Callable[[str, Fetched], None]) -> Fetched:
    """Ask EC2 region by region, except regions that the account has not enabled, which refuse every call.

    Raises:
        LiveError: no region answered.
    """
    enabled = _enabled_regions(request.limits)
    off = [] if enabled is None else [region for region in request.regions if region not in enabled]
    asked = tuple(region for region in request.regions if region not in off)
    fetched = by_region(replace(request, regions=asked), advance, ask)
    fetched.notes += [f"{region}: not enabled in this account; its prices stay as they were" for region in off]
    return fetched


def _enabled_regions(limits: Limits) -> frozenset[str] | None:
    """The regions that the account has enabled; None when it may not list them, and then every region is asked."""
    try:
        listed = pages(client("ec2", PRICING_REGION, limits), "describe_regions", "Regions", "ec2:DescribeRegions")
        return frozenset(region["RegionName"] for region in listed)
    except LiveError:
        return None


@contextmanager
def as_live_error(where: str, permission: str) -> Iterator[None]:
    """Turn errors of boto into a LiveError.

    Raises:
        LiveError: boto raised an error; the message says what failed, where, and what to do.
    """
    try:
        with documented_shape(where):
            yield
    except (boto_errors.NoCredentialsError, boto_errors.PartialCredentialsError) as error:
        raise LiveError(
            "no AWS credentials found; set AWS_PROFILE, or run `aws configure` or `aws sso login`"
        ) from error
    except boto_errors.ProfileNotFound as error:
        raise LiveError(f"{error}; AWS_PROFILE names a profile of ~/.aws/config") from error
    except (boto_errors.SSOError, boto_errors.TokenRetrievalError) as error:
        raise LiveError(f"the AWS sign-in has expired ({error}); run `aws sso login`") from error
    except boto_errors.ClientError as error:
        raise LiveError(_client_error(error, where, permission)) from error
    except (boto_errors.HTTPClientError, boto_errors.ConnectionError) as error:
        raise NoAnswerError(f"{where}: no answer ({error}); check the network, proxy and region") from error
    except ResponseParserError as error:
        # This error is no BotoCoreError. It is raised when a proxy or a captive portal answers with a page.
        raise LiveError(f"{where}: the answer does not come from AWS ({_one_line(str(error))})") from error
    except boto_errors.BotoCoreError as error:
        raise LiveError(f"{where}: {error}") from error


def _client_error(error: boto_errors.ClientError, where: str, permission: str) -> str:
    code = error.response.get("Error", {}).get("Code", "unknown")
    message = error.response.get("Error", {}).get("Message", "")
    if code in _SKEWED:
        return f"{where}: AWS refuses the signature as too old ({code}); set the clock of this machine"
    if code in _EXPIRED:
        return f"{where}: the AWS credentials have expired; sign in again (`aws sso login`) or renew the session"
    if code in _INVALID:
        return f"{where}: AWS does not accept the credentials ({code}), or the account has not enabled the region"
    if code in _DENIED:
        return f"{where}: not permitted; allow the action {permission} for this identity"
    if code in _THROTTLED:
        return f"{where}: throttled ({code}) after every attempt; try again later, or for fewer regions"
    return f"{where}: {code}: {_one_line(message)}"


def _one_line(text: str) -> str:
    """The text on one line; of a long text, such as a page, only the beginning."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}…"
