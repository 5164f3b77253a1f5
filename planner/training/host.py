"""Time that the host takes to launch the kernels of a layer with experts, where the GPU waits for it."""

from typing import Final

from planner.plan.plan import InferencePerformance, TrainingPerformance
from planner.spec.training_software import CudaGraphs
from planner.training.layer_time import LayerTime
from planner.training.traffic import LayerTraffic
from planner.vocabulary import Recompute

LAUNCH_S: Final[dict[CudaGraphs, float]] = {"none": 9e-3, "partial": 4.5e-3, "full": 0.0}
"""Host seconds of one micro-batch in one layer with experts, forward and backward, whatever the tokens: some hundred
launches from Python, and the host must know how many tokens each expert got before it launches their products. By what
CUDA graphs capture. Estimates. None, 7 to 14 ms: Mixtral 8x7B on 8 B300 takes 7.5 ms a layer with a loop over 4 local
experts and 14 with Transformer Engine's GroupedLinear, the same for batches of 1 to 4 (Transformer Engine, issue 2939);
Qwen3 30B-A3B with micro-batches of 1 takes 9 on B200 and 10 on H100 (Megatron Bridge, 26.02 and 26.04 containers).
Partial, 2 to 7: attention and routing captured, experts not; the same model takes 6.8 on H100, and GPU time is most of
that. Full: the capture of a whole step, for which tokens over an expert's capacity must be dropped or padded."""
FORWARD_SHARE: Final = 1 / 3
"""Of the launches: backward each product has two, for inputs and weights, where forward it has one."""
TOLD_SHARE: Final = 0.05
"""Share of a step that waits for launches from which a plan says so."""


def idle_s(time: LayerTime, traffic: LayerTraffic, recompute: Recompute, graphs: CudaGraphs) -> tuple[float, float]:
    """Seconds in which the GPU waits for launches in one layer with experts, (forward, backward).

    The host runs ahead of the GPU and is held up by it in turn, so that a layer takes the longer of both.

    Args:
        time: of the kernels.
        traffic: communication that they wait for.
        recompute: full launches the forward pass again.
        graphs: what CUDA graphs capture.
    """
    launches = LAUNCH_S[graphs] * (1 + FORWARD_SHARE if recompute == "full" else 1)
    idle = max(0.0, launches - time.seconds - traffic.seconds)
    return FORWARD_SHARE * idle, (1 - FORWARD_SHARE) * idle


def launch_notes(performance: TrainingPerformance | InferencePerformance) -> tuple[str, ...]:
    """What would shorten a step in which the GPU waits for the host."""
    if not isinstance(performance, TrainingPerformance):
        return ()
    share = performance.breakdown_s.get("launches", 0.0) / performance.step_time_s
    if share < TOLD_SHARE:
        return ()
    return (
        f"GPUs wait for the host to launch kernels of experts in {share:.0%} of a step: larger micro-batches, or more"
        " of a layer in CUDA graphs (workload.software.cuda_graphs), shorten it",
    )
