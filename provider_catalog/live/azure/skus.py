"""Comparison of the catalog's sizes with Azure Resource SKUs.

People review facts before they enter the catalog, so this source only reports differences.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, Final

from azure.core.credentials import AccessToken
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.mgmt.compute import ComputeManagementClient

from provider_catalog.errors import LiveError, NoAnswerError
from provider_catalog.hardware import InstanceType
from provider_catalog.live.http import BoundedRetryPolicy
from provider_catalog.live.live_source import Fetched, Limits, ReportProgress, Request, by_region

PERMISSION: Final = "Microsoft.Compute/skus/read"
_MANAGEMENT: Final = "https://management.azure.com/"
_SIGN_IN: Final = "run `az login`, and `az account set` for the subscription"
_CLI_TIMEOUT_S: Final = 30


class AzureCliCredential:
    """A credential that asks the Azure command line for a token, once; this program stores no secret."""

    def __init__(self) -> None:
        self._answer: dict[str, Any] | None = None

    @property
    def subscription(self) -> str:
        """The id of the subscription that the command line uses."""
        return str(self._token()["subscription"])

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Get a token for Azure Resource Manager.

        Raises:
            LiveError: `az` is not installed, or nobody is signed in.
        """
        answer = self._token()
        return AccessToken(str(answer["accessToken"]), int(answer.get("expires_on", time.time() + 300)))

    def _token(self) -> dict[str, Any]:
        if self._answer is None:
            self._answer = _ask_az()
        return self._answer


def check(request: Request, advance: ReportProgress) -> Fetched:
    """Note the facts that differ, and the sizes that a region or the subscription does not offer.

    Raises:
        LiveError: nobody is signed in, or no region answered.
    """
    credential = AzureCliCredential()
    compute = compute_client(credential, credential.subscription, request.limits)

    def ask(region: str, fetched: Fetched) -> None:
        listed = {sku.name: sku for sku in _skus(compute, region)}
        for name in request.instance_types:
            known = request.catalog.instance_type(request.provider, name)
            priced = request.catalog.prices.instance(request.provider, region, name, "on-demand") is not None
            if name in listed:
                fetched.notes += _differences(known, listed[name], region)
            elif priced:
                fetched.notes.append(
                    f"{name} in {region}: the catalog has a price, and Azure does not offer the size there"
                )

    fetched = by_region(request, advance, ask)
    fetched.notes = sorted(set(fetched.notes))
    return fetched


def compute_client(credential: Any, subscription: str, limits: Limits, **options: Any) -> ComputeManagementClient:
    """Make a compute client with time-outs and back-off."""
    return ComputeManagementClient(
        credential,
        subscription,
        connection_timeout=limits.connect_timeout_s,
        read_timeout=limits.read_timeout_s,
        retry_policy=BoundedRetryPolicy(retry_total=limits.attempts - 1, retry_backoff_factor=limits.backoff_s),
        **options,
    )


def _skus(compute: ComputeManagementClient, region: str) -> Iterator[Any]:
    with as_live_error(f"{PERMISSION} in {region}", PERMISSION):
        for sku in compute.resource_skus.list(filter=f"location eq '{region}'"):
            if sku.resource_type == "virtualMachines":
                yield sku


@contextmanager
def as_live_error(where: str, permission: str) -> Iterator[None]:
    """Turn errors of azure-core into a LiveError.

    Raises:
        LiveError: azure-core raised an error; the message says what failed, where, and what to do.
    """
    try:
        yield
    except ClientAuthenticationError as error:
        raise LiveError(f"{where}: the Azure sign-in is not accepted or has expired; {_SIGN_IN}") from error
    except HttpResponseError as error:
        if error.status_code == 403:
            raise LiveError(
                f"{where}: not permitted; give this identity the action {permission} (Reader has it)"
            ) from error
        if error.status_code == 429:
            raise LiveError(f"{where}: throttled after every attempt; try again later") from error
        raise LiveError(f"{where}: HTTP {error.status_code}: {error.reason}") from error
    except AzureError as error:
        raise NoAnswerError(f"{where}: no answer ({error}); check the network and the proxy") from error


def _differences(known: InstanceType, sku: Any, region: str) -> Iterator[str]:
    offered = {capability.name: capability.value for capability in sku.capabilities or ()}
    for field, ours, name in (("vcpus", known.vcpus, "vCPUs"), ("gpus", known.gpus, "GPUs")):
        theirs = offered.get(name)
        if theirs is not None and float(theirs) != ours:
            yield f"{known.name}: {field} is {ours} in the catalog and {theirs} in the answer of Azure"
    theirs = offered.get("MemoryGB")
    if theirs is not None and float(theirs) * 1024 != known.memory_mib:
        found_mib = float(theirs) * 1024
        yield f"{known.name}: memory_mib is {known.memory_mib} in the catalog and {found_mib:g} in the answer of Azure"
    for restriction in sku.restrictions or ():
        reason = restriction.reason_code
        code = reason.value if isinstance(reason, Enum) else reason
        yield f"{known.name} in {region}: restricted for this subscription ({code})"


def missing_sign_in() -> str | None:
    """Say that the Azure command line, which holds the sign-in, is not installed; None where it is."""
    return None if shutil.which("az") else f"no sign-in: the Azure command line (az) is not installed; {_SIGN_IN}"


def _ask_az() -> dict[str, Any]:
    program = shutil.which("az")
    if program is None:
        raise LiveError(f"the Azure command line (az) is not installed; it holds the sign-in: {_SIGN_IN}")
    command = [program, "account", "get-access-token", "--resource", _MANAGEMENT, "--output", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_CLI_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LiveError(f"az account get-access-token: {error}") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[0]
        raise LiveError(f"nobody is signed in to Azure ({reason}); {_SIGN_IN}")
    try:
        answer = json.loads(done.stdout)
        if not (isinstance(answer["accessToken"], str) and isinstance(answer["subscription"], str)):
            raise TypeError("accessToken and subscription are text")
    except (ValueError, KeyError, TypeError) as error:
        raise LiveError(f"az account get-access-token: not the documented answer ({error!r})") from error
    return dict(answer)
