"""Time that the GPU waits for the host to launch the kernels of a layer with experts."""

from typing import Final

from planner.plan.performance import InferencePerformance, TrainingPerformance
from planner.spec.training_software import CudaGraphs
from planner.training.layer_time import LayerTime
from planner.training.traffic import LayerTraffic
from planner.vocabulary import Recompute

LAUNCH_S: Final[dict[CudaGraphs, float]] = {"none": 9e-3, "partial": 4.5e-3, "full": 0.0}
"""Host seconds to launch one micro-batch in one layer with experts, forward and backward, by extent of CUDA graphs.

The time does not depend on the number of tokens: Python launches some hundred kernels, and the host must know how many
tokens each expert got before it launches their products. All values are estimates.

- none, 7 to 14 ms: Mixtral 8x7B on 8 B300 takes 7.5 ms a layer with a loop over 4 local experts and 14 ms with
  Transformer Engine's GroupedLinear, for batches of 1 to 4 alike (Transformer Engine, issue 2939). Qwen3 30B-A3B with
  micro-batches of 1 takes 9 ms on B200 and 10 ms on H100 (Megatron Bridge, 26.02 and 26.04 containers).
- partial, 2 to 7 ms: graphs capture attention and routing but not experts. Qwen3 30B-A3B takes 6.8 ms on H100, most of
  it GPU time.
- full: a graph captures the whole step. Tokens over an expert's capacity must then be dropped or padded.
"""
FORWARD_SHARE: Final = 1 / 3
"""Share of launches in the forward pass, which has one product where the backward pass has two (inputs and weights)."""
NOTED_SHARE: Final = 0.05
"""Share of a step in launch waits from which the plan notes it. Our own choice."""


def launch_wait_s(
    time: LayerTime, traffic: LayerTraffic, recompute: Recompute, graphs: CudaGraphs
) -> tuple[float, float]:
    """Return the seconds that the GPU waits for launches in one layer with experts, (forward, backward).

    Host and GPU work in parallel and wait for each other, so that a layer takes the longer of both times.

    Args:
        time: Kernel times of the layer.
        traffic: Communication that the kernels wait for.
        recompute: Recompute mode; full recompute launches the forward pass again.
        graphs: Extent of CUDA graphs.
    """
    launches = LAUNCH_S[graphs] * (1 + FORWARD_SHARE if recompute == "full" else 1)
    idle = max(0.0, launches - time.seconds - traffic.seconds)
    return FORWARD_SHARE * idle, (1 - FORWARD_SHARE) * idle


def launch_notes(performance: TrainingPerformance | InferencePerformance) -> tuple[str, ...]:
    """Return a note on how to shorten the waits for kernel launches, where they take much of the step."""
    if not isinstance(performance, TrainingPerformance):
        return ()
    share = performance.breakdown_s.get("launches", 0.0) / performance.step_time_s
    if share < NOTED_SHARE:
        return ()
    return (
        f"GPUs wait {share:.0%} of a step for the host to launch kernels of experts: larger micro-batches or CUDA"
        " graphs over more of a layer (workload.software.cuda_graphs) shorten the wait",
    )
