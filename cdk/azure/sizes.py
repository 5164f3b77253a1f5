"""Images of VM sizes, from sizes.yaml."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel, ConfigDict, TypeAdapter

from provider_catalog.data_files import read_yaml

_SIZES: Final = Path(__file__).with_name("sizes.yaml")


class VmSize(BaseModel):
    """One entry of sizes.yaml, where the fields are explained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_sku: str


@cache
def vm_sizes() -> Mapping[str, VmSize]:
    """All known VM sizes by name."""
    return MappingProxyType(TypeAdapter(dict[str, VmSize]).validate_python(read_yaml(_SIZES)))


def vm_size(name: str) -> VmSize:
    """The VM size of that name.

    Raises:
        ValueError: sizes.yaml has no entry for it; the message lists the known sizes.
    """
    sizes = vm_sizes()
    if name not in sizes:
        raise ValueError(
            f"instance_type {name!r} can be planned but not built, because its image is not known; known are "
            f"{', '.join(sorted(sizes))}. Choose one of them, or add an entry to {_SIZES.name}"
        )
    return sizes[name]
