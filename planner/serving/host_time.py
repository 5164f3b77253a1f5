"""Time of the host in each step of a serving engine: scheduling, input preparation, sampling and detokenising."""

from dataclasses import dataclass
from typing import Final

from planner.serving.forward import Pass


@dataclass(frozen=True, slots=True)
class HostTime:
    """Time that the host adds to the kernels of a step. The sequences of one scheduler decide it."""

    step_s: float
    """Time of each step, whatever it holds."""
    sequence_s: float
    """Time of each sequence of the step."""

    def seconds(self, work: Pass, schedulers: int) -> float:
        """Return the time that the host adds to a step.

        Args:
            work: Sequences and prompts of the step.
            schedulers: Schedulers that work side by side, one for each data-parallel attention group.
        """
        return self.step_s + self.sequence_s * (work.decodes + work.prompts) / schedulers


SERVING_HOST: Final = HostTime(step_s=2.5e-3, sequence_s=6e-6)
"""Exposed host time of the serving engines of 2024 to 2026, after what they overlap with kernels.

Calibrated on 150 published measurements of TensorRT-LLM 0.5 to 1.0, NIM, vLLM and SGLang (tests/data/serving_e2e.csv);
`python -m benchmarks.accuracy_e2e serving` prints the error with each source left out. Range over engines and versions:
0.3 ms and 2 us where scheduling is asynchronous (vLLM 0.17, one user), 5 ms and 30 us where it is serial. Independent
of these: an 8B model with 32 sequences on H200 leaves the GPU idle for 24 % of the time, some 2 ms a step (Hugging
Face, "Asynchronous continuous batching", 2026-05); vLLM 0.5 spent more than half of a step on scheduling (Srivatsa et
al., "Can scheduling overhead dominate LLM inference performance?", 2024-10)."""
