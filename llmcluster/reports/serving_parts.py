"""Names of the parts of a serving engine's memory in reports."""

from typing import Final

PART_NAMES: Final = {
    "expert_padding": "padding of experts",
    "rotary_tables": "rotary tables",
    "mtp": "multi-token prediction",
    "non_torch": "CUDA and NCCL",
    "cuda_graphs": "CUDA graphs",
    "moe_workspace": "workspace of experts",
}
"""Names by part of `MemoryPerGpu.weights` and `overhead`; other parts are named as in the plan."""
