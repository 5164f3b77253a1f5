"""boto3 clients with time-outs and back-off, and boto's failures as sentences that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import botocore.exceptions as boto_errors
from botocore.config import Config

from provider_catalog.live.source import Limits, LiveError, documented_shape

PRICING_REGION = "us-east-1"
"""The Price List API answers in three regions and knows all of them (docs.aws.amazon.com, Price List Query API
endpoints); Savings Plans has one endpoint for all."""

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_INVALID = frozenset(
    {"AuthFailure", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch"}
    | {"UnrecognizedClientException"}
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedAccess"})
_THROTTLED = frozenset(
    {"RequestLimitExceeded", "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException"}
)


def client(service: str, region: str, limits: Limits) -> Any:
    """A boto3 client; `AWS_PROFILE`, `AWS_ENDPOINT_URL` and the rest of boto's configuration apply."""
    config = Config(
        connect_timeout=limits.connect_timeout_s,
        read_timeout=limits.read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": limits.attempts},
        user_agent_extra="llmcluster",
    )
    with said(f"{service} in {region}", permission=""):
        return boto3.session.Session().client(service, region_name=region, config=config)


def pages(client: Any, operation: str, key: str, permission: str, **arguments: Any) -> Iterator[Any]:
    """Entries under `key` of every page of an operation.

    Raises:
        LiveError: a page does not come, or is not what the service model says.
    """
    where = f"{permission} in {client.meta.region_name}"
    with said(where, permission):
        if not client.can_paginate(operation):
            yield from getattr(client, operation)(**arguments)[key]
            return
        for page in client.get_paginator(operation).paginate(**arguments):
            yield from page[key]


@contextmanager
def said(where: str, permission: str) -> Iterator[None]:
    """Turn what boto raises into a LiveError.

    Raises:
        LiveError: with what failed, where, and what to do.
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
        raise LiveError(f"{where}: no answer ({error}); check the network, proxy and region") from error
    except boto_errors.BotoCoreError as error:
        raise LiveError(f"{where}: {error}") from error


def _client_error(error: boto_errors.ClientError, where: str, permission: str) -> str:
    code = error.response.get("Error", {}).get("Code", "unknown")
    message = error.response.get("Error", {}).get("Message", "")
    if code in _EXPIRED:
        return f"{where}: the AWS credentials have expired; sign in again (`aws sso login`) or renew the session"
    if code in _INVALID:
        return f"{where}: AWS does not accept the credentials ({code}), or the account has not enabled the region"
    if code in _DENIED:
        return f"{where}: not permitted; allow the action {permission} for this identity"
    if code in _THROTTLED:
        return f"{where}: throttled ({code}) after every attempt; try again later, or for fewer regions"
    return f"{where}: {code}: {message}"
