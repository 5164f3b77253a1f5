"""Pipeline schedules: stage times, bubbles and overlap of transfers."""

from dataclasses import dataclass
from math import ceil

from planner.vocabulary import Schedule


@dataclass(frozen=True, slots=True)
class StageTime:
    """Seconds of one micro-batch on the slowest stage, with the communication that computation waits for."""

    forward: float
    backward: float
    """Seconds of the gradients of inputs, recompute included."""
    weights: float
    """Seconds of the gradients of weights, which zero-bubble schedules postpone."""

    @property
    def total(self) -> float:
        """Seconds of forward and backward pass."""
        return self.forward + self.backward + self.weights


def bubble_s(schedule: Schedule, p: int, v: int, stage: StageTime, layers: int) -> float:
    """Return the idle seconds of a step on p stages of v chunks.

    - 1F1B: (p-1)·(F+B+W) (Narayanan et al. 2021, arXiv 2104.04473, section 2.2.1).
    - Interleaved with v chunks: the 1F1B bubble for the layers of the largest chunk (section 2.2.2).
    - ZB-H1: (p-1)·(F+B-2W) (Qi et al. 2023, arXiv 2401.10241, Table 2).
    - DualPipe: (p/2-1)·(F&B + B - 3W), where B is the whole backward pass and F&B a forward and a backward pass that
      overlap (DeepSeek-V3, arXiv 2412.19437, Table 2). F&B is assumed to take as long as both in sequence.
    """
    if p == 1:
        return 0.0
    if schedule == "dualpipe":
        return (p / 2 - 1) * max(stage.total + stage.backward - 2 * stage.weights, 0.0)
    if schedule == "zero-bubble":
        return (p - 1) * max(stage.forward + stage.backward - 2 * stage.weights, 0.0)
    return (p - 1) * stage.total * chunk_share(layers, p, v)


def chunk_share(layers: int, pipeline: int, virtual_stages: int) -> float:
    """Return the layers of the largest chunk as a share of the layers of its stage."""
    if virtual_stages == 1:
        return 1.0
    return min(1.0, ceil(layers / (pipeline * virtual_stages)) / ceil(layers / pipeline))


def transfers_overlap(schedule: Schedule) -> bool:
    """Return whether transfers between stages overlap with computation (Megatron-LM's overlap_p2p_comm)."""
    return schedule != "1f1b"
