"""Names of Azure resources, within the limits of each service and the same at every synthesis.

Names of storage accounts and Key Vaults are unique among all Azure customers. They end in hex digits that Terraform
derives from the subscription, so that two teams may both have a cluster named `quickstart`.
"""

import re
from typing import Final

SUFFIX_LENGTH: Final = 8
"""Hex digits at the end of a globally unique name: 32 bits tell subscriptions with equal cluster names apart."""

# learn.microsoft.com, "Naming rules and restrictions for Azure resources": storageAccounts and vaults.
_GLOBAL_NAME_MAX: Final = 24
_STORAGE_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}")
_KEY_VAULT: Final = re.compile(r"(?=.{3,24}$)[a-zA-Z](?:-?[a-zA-Z0-9])*")

# learn.microsoft.com, virtual machine naming: 64 characters on Linux, of which a scale set appends 6.
_COMPUTER_NAME_PREFIX_MAX: Final = 58


def storage_account_name(cluster: str, suffix: str) -> str:
    """Name of the storage account of checkpoints: `st`, as much of the cluster's name as fits, and `suffix`.

    Args:
        cluster: Name of the cluster; characters that are not allowed in a storage account's name are dropped.
        suffix: A Terraform expression that yields SUFFIX_LENGTH lower-case hex digits, or those digits.

    Raises:
        ValueError: nothing of the cluster's name is left, or the result breaks the service's rule.
    """
    room = _GLOBAL_NAME_MAX - SUFFIX_LENGTH - len("st")
    kept = re.sub(r"[^a-z0-9]", "", cluster)[:room]
    _check("storage account", f"st{kept}{'0' * SUFFIX_LENGTH}", _STORAGE_ACCOUNT, cluster if kept else "")
    return f"st{kept}{suffix}"


def key_vault_name(cluster: str, suffix: str) -> str:
    """Name of the Key Vault: `kv-`, as much of the cluster's name as fits, and `suffix`.

    Args:
        cluster: Name of the cluster.
        suffix: A Terraform expression that yields SUFFIX_LENGTH lower-case hex digits, or those digits.

    Raises:
        ValueError: the result breaks the service's rule: letters, digits, single hyphens, a letter first.
    """
    room = _GLOBAL_NAME_MAX - SUFFIX_LENGTH - len("kv--")
    kept = re.sub(r"-+", "-", cluster)[:room].strip("-")
    _check("Key Vault", f"kv-{kept}-{'0' * SUFFIX_LENGTH}", _KEY_VAULT, cluster if kept else "")
    return f"kv-{kept}-{suffix}"


def computer_name_prefix(cluster: str, purchase: str) -> str:
    """Start of the host names of a Linux scale set; Azure appends six characters.

    Raises:
        ValueError: the prefix is longer than 58 characters, or is not a host name.
    """
    prefix = f"{cluster}-{purchase}".replace("_", "-")
    if len(prefix) > _COMPUTER_NAME_PREFIX_MAX or not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", prefix):
        raise ValueError(
            f"name: {cluster!r} gives the host name prefix {prefix!r}; allowed are at most {_COMPUTER_NAME_PREFIX_MAX} "
            "lower-case letters, digits and inner hyphens. Shorten or change the name"
        )
    return prefix


def _check(service: str, name: str, rule: re.Pattern[str], cluster: str) -> None:
    if not cluster or not rule.fullmatch(name):
        raise ValueError(
            f"name: the {service} cannot be named {name!r}, which does not match {rule.pattern}; change the name"
        )
