"""What a scale set has to know of a VM size: its image. Facts in sizes.yaml."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel, ConfigDict, TypeAdapter

from provider_catalog.data_files import read_yaml

_SIZES: Final = Path(__file__).with_name("sizes.yaml")


class VmSize(BaseModel):
    """One row of sizes.yaml, which explains the columns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_sku: str


@cache
def vm_sizes() -> Mapping[str, VmSize]:
    """Every known VM size by name."""
    return MappingProxyType(TypeAdapter(dict[str, VmSize]).validate_python(read_yaml(_SIZES)))


def vm_size(name: str) -> VmSize:
    """The VM size of that name.

    Raises:
        ValueError: sizes.yaml has no row for it; the message lists those it has.
    """
    sizes = vm_sizes()
    if name not in sizes:
        raise ValueError(
            f"instance_type {name!r} can be planned but not built: its image is known for "
            f"{', '.join(sorted(sizes))}. Choose one of them, or add a row to {_SIZES.name}"
        )
    return sizes[name]
