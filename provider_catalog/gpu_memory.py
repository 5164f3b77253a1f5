"""Memory that each kind of GPU offers, read without the rest of the catalog.

`llmcluster size` needs only these three columns; `Catalog` validates the same files in full.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provider_catalog.data_files import read_csv, read_yaml
from provider_catalog.errors import CatalogError

MEMORY_FRACTION: Final = 0.9
"""Usable share of a GPU's memory: vLLM's default gpu_memory_utilization, and a plan's default."""
NODE_GPUS: Final = 8
"""Assumed GPUs per node for a kind of GPU that no instance type has."""

_DATA: Final = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """The memory of one kind of GPU, as the catalog's instance types offer it."""

    name: str
    memory_bytes: int
    """Least memory that an instance type with this GPU reports; the marketed size where no instance type has it."""
    gpus_per_node: int
    """Largest number of these GPUs in one node, which bounds tensor parallelism."""

    @property
    def usable_bytes(self) -> int:
        """Memory that weights, cache and runtime may use, in bytes."""
        return int(self.memory_bytes * MEMORY_FRACTION)


def gpu_memories(folder: Path = _DATA) -> tuple[GpuMemory, ...]:
    """The memory of every GPU of the catalog, in the order of gpus.yaml.

    Raises:
        CatalogError: a file is missing, or a size in it is not a number.
    """
    offered: dict[str, list[tuple[int, int]]] = {}
    for path in sorted(folder.glob("*/instances.csv")):
        for line, row in read_csv(path):
            try:
                size = int(row["gpu_memory_mib"] or "") * 2**20, int(row["gpus"] or "")
            except (KeyError, ValueError) as error:
                raise CatalogError(f"{path}, line {line}: gpus and gpu_memory_mib must be integers") from error
            offered.setdefault(row["gpu"] or "", []).append(size)
    found = []
    for gpu in read_yaml(folder / "gpus.yaml"):
        types = offered.get(gpu["name"], [(int(gpu["memory_gb"] * 1e9), NODE_GPUS)])
        found.append(GpuMemory(gpu["name"], min(size for size, _ in types), max(count for _, count in types)))
    return tuple(found)
