"""Tags of Azure resources."""

from collections.abc import Mapping
from typing import Final

from provider_catalog.text import one_line, shortened, terraform_literal

# learn.microsoft.com, "Use tags to organize your Azure resources", limitations.
_TAGS_MAX: Final = 50
_TAG_NAME_MAX: Final = 512
_TAG_VALUE_MAX: Final = 256
_TAG_NAME_FORBIDDEN: Final = frozenset("<>%&\\?/")
# Azure takes them; cdktf writes them into HCL as they are, where they end a string.
_TAG_QUOTES: Final = frozenset('"\\')


def checked_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """`tags` sorted by name. Every taggable resource gets them one by one, since azurerm has no default tags.

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
