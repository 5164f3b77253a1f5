"""The preflight checks of each cloud that has some."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from provider_catalog.errors import CatalogError
from provider_catalog.live.live_source import Limits
from provider_catalog.live.preflight import Check, Wanted


@dataclass(frozen=True)
class Preflight:
    """The checks of one cloud."""

    run: Callable[[Wanted, Limits], list[Check]]
    policy: Callable[[], dict[str, Any]]
    image_parameter: str | None = None


def preflight_of(provider: str) -> Preflight:
    """The checks of a cloud: the module `preflight` in its folder of this package.

    Raises:
        CatalogError: the cloud has none.
    """
    name = f"{__package__}.{provider}.preflight"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        raise CatalogError(f"preflight checks nothing on {provider}; it knows AWS and Azure") from error
    return Preflight(module.run, module.policy, getattr(module, "IMAGE_PARAMETER", None))
