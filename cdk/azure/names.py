"""Names of Azure resources, within each service's limits and stable from one synthesis to the next.

Storage accounts and Key Vaults share one namespace with every other Azure customer. Their names end in a few hex digits
that Terraform derives from the subscription, so that two teams may both have a cluster called `quickstart`.
"""

import re
from collections.abc import Mapping
from typing import Final

from provider_catalog.text import one_line, shortened, terraform_literal

SUFFIX_LENGTH: Final = 8
"""Hex digits at the end of a globally unique name: 32 bits, enough to tell subscriptions with equal names apart."""

# learn.microsoft.com, "Naming rules and restrictions for Azure resources": storageAccounts and vaults.
_GLOBAL_NAME_MAX: Final = 24
_STORAGE_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}")
_KEY_VAULT: Final = re.compile(r"(?=.{3,24}$)[a-zA-Z](?:-?[a-zA-Z0-9])*")

# learn.microsoft.com, virtual machine naming: 64 characters on Linux, of which a scale set appends 6.
_COMPUTER_NAME_PREFIX_MAX: Final = 58

# learn.microsoft.com, "Use tags to organize your Azure resources", limitations.
_TAGS_MAX: Final = 50
_TAG_NAME_MAX: Final = 512
_TAG_VALUE_MAX: Final = 256
_TAG_NAME_FORBIDDEN: Final = frozenset("<>%&\\?/")
# Azure takes them; cdktf writes them into HCL as they are, where they end a string.
_TAG_QUOTES: Final = frozenset('"\\')


def storage_account_name(cluster: str, suffix: str) -> str:
    """Name of the checkpoints' storage account: `st`, what fits of the cluster's name, and `suffix`.

    Args:
        cluster: Name of the cluster; characters that a storage account may not have are dropped.
        suffix: A Terraform expression that yields SUFFIX_LENGTH lower-case hex digits, or those digits.

    Raises:
        ValueError: nothing of the cluster's name is left, or the result breaks the service's rule.
    """
    room = _GLOBAL_NAME_MAX - SUFFIX_LENGTH - len("st")
    kept = re.sub(r"[^a-z0-9]", "", cluster)[:room]
    _check("storage account", f"st{kept}{'0' * SUFFIX_LENGTH}", _STORAGE_ACCOUNT, cluster if kept else "")
    return f"st{kept}{suffix}"


def key_vault_name(cluster: str, suffix: str) -> str:
    """Name of the Key Vault: `kv-`, what fits of the cluster's name, and `suffix`.

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
        ValueError: the prefix exceeds 58 characters or is no host name.
    """
    prefix = f"{cluster}-{purchase}".replace("_", "-")
    if len(prefix) > _COMPUTER_NAME_PREFIX_MAX or not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", prefix):
        raise ValueError(
            f"name {cluster!r} makes the host name prefix {prefix!r}; allowed are at most {_COMPUTER_NAME_PREFIX_MAX} "
            "lower-case letters, digits and inner hyphens. Shorten or change name"
        )
    return prefix


def checked_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """`tags` sorted by name, as every taggable resource of the cluster carries them; azurerm has no default tags.

    Raises:
        ValueError: Azure would refuse a tag.
    """
    if len(tags) > _TAGS_MAX:
        raise ValueError(f"tags has {len(tags)} entries with the cluster's own; Azure allows {_TAGS_MAX}. Remove some")
    for name, value in tags.items():
        bad = sorted(set(name) & (_TAG_NAME_FORBIDDEN | _TAG_QUOTES))
        if bad or not name or len(name) > _TAG_NAME_MAX:
            raise ValueError(
                f"tags: the name {shortened(name)} is not allowed on Azure; use 1 to {_TAG_NAME_MAX} characters "
                f"without {' '.join(sorted(_TAG_NAME_FORBIDDEN | _TAG_QUOTES))}"
            )
        if quotes := sorted(set(value) & _TAG_QUOTES):
            raise ValueError(f"tags.{one_line(name)} holds {' '.join(quotes)}; write it without quotes and backslashes")
        if len(value) > _TAG_VALUE_MAX:
            raise ValueError(
                f"tags.{one_line(name)} has {len(value)} characters; Azure allows {_TAG_VALUE_MAX}. Shorten it"
            )
    return {terraform_literal(name): terraform_literal(value) for name, value in sorted(tags.items())}


def _check(service: str, name: str, rule: re.Pattern[str], cluster: str) -> None:
    if not cluster or not rule.fullmatch(name):
        raise ValueError(f"name makes no valid {service} name ({name!r} breaks {rule.pattern}); change name")
