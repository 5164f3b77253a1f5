"""Tags of Azure resources."""

from collections.abc import Mapping
from typing import Final

# learn.microsoft.com, "Use tags to organize your Azure resources", limitations.
_TAGS_MAX: Final = 50
_TAG_NAME_MAX: Final = 512
_TAG_VALUE_MAX: Final = 256
_TAG_NAME_FORBIDDEN: Final = frozenset("<>%&\\?/")


def checked_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """`tags` sorted by name. Every taggable resource gets them one by one, since azurerm has no default tags.

    Raises:
        ValueError: Azure would refuse a tag.
    """
    if len(tags) > _TAGS_MAX:
        raise ValueError(f"tags has {len(tags)} entries with the cluster's own; Azure allows {_TAGS_MAX}. Remove some")
    for name, value in tags.items():
        bad = sorted(set(name) & _TAG_NAME_FORBIDDEN)
        if bad or not name or len(name) > _TAG_NAME_MAX:
            raise ValueError(
                f"tags: the name {name!r} is not allowed on Azure; use 1 to {_TAG_NAME_MAX} characters without "
                f"{' '.join(sorted(_TAG_NAME_FORBIDDEN))}"
            )
        if len(value) > _TAG_VALUE_MAX:
            raise ValueError(f"tags.{name} has {len(value)} characters; Azure allows {_TAG_VALUE_MAX}. Shorten it")
    return dict(sorted(tags.items()))
