"""What the engines predict for the chosen cluster: training and serving performance."""

from typing import Literal

from pydantic import Field

from planner.plan.base import PlanModel
from planner.plan.reliability import Reliability


class TrainingPerformance(PlanModel):
    """What the training engine predicts. MFU counts model FLOPs, HFU also recomputed ones."""

    kind: Literal["training"] = "training"
    engine: str
    step_time_s: float
    steps: int
    mfu: float
    hfu: float
    tflops_per_gpu: float
    tokens_per_s_per_gpu: float
    goodput: float
    """Share of the time that advances the work; days = steps x step_time_s / goodput."""
    gpu_hours: float
    days: float
    breakdown_s: dict[str, float]
    """Parts of one step in seconds; they sum to step_time_s, the time between two steps that published runs state."""
    breakdown_between_steps_s: dict[str, float] = Field(default_factory=dict)
    """What the run takes beside its steps, in seconds for each of them on average: `checkpoints` (training stands still
    for the write, or for the copy to host memory that an asynchronous one begins with), `lost_work` (done again after
    a failure) and `restarts`. With breakdown_s they sum to effective_step_time_s. Empty in plans made before it."""
    effective_step_time_s: float | None = None
    """step_time_s / goodput: days are steps times this. None in plans made before it."""
    reliability: Reliability | None = None
    """None in plans made before it was planned."""


class ServingPool(PlanModel):
    """Replicas that do one phase of every request."""

    role: Literal["prefill", "decode"]
    replicas: int
    batch: int
    """Requests on each replica at the planned load."""


class Queueing(PlanModel):
    """Waits before the first token of one replica (of one prefill replica where prefill is apart) at the planned load.

    Its operating point is the arrival rate of the spec. A fixed number of users has no such rate: there it is the rate
    that `InferencePerformance.batch` sustains.
    """

    requests_per_s_per_replica: float
    """Arrival rate that this is worked out for."""
    prefill_load: float
    """Share of the time in which a replica is busy with prefill; from 1 on its queue grows without end."""
    slots: int | None
    """Requests that the largest batch within memory and SLO holds; None where no request waits for a slot: for a fixed
    number of users, and where prefill is apart."""
    slot_load: float | None
    """Mean share of the slots that are taken; from 1 on the queue for them grows without end."""
    slot_wait_probability: float | None
    """Probability that a request finds every slot taken."""
    ttft_ms: dict[str, float | None]
    """TTFT in milliseconds by statistic (mean, p50, p95, p99): the waits for a slot and behind other prefills, and the
    prefill with the decode steps that run beside it. None where a queue grows without end."""


class InferencePerformance(PlanModel):
    """Predicted performance of a serving fleet.

    Three operating points occur. The planned load, with `batch` requests in flight on each replica: `ttft_ms`,
    `tpot_ms`, `requests_per_s`, `tokens_per_s` and `queueing`. One static batch of that size, prefilled in one pass and
    decoded to its end: `prefill_ms`, `decode_step_ms` and `breakdown_ms`. Every batch at its largest within memory and
    SLO: `max_concurrency` alone.
    """

    kind: Literal["inference"] = "inference"
    engine: str
    """Name of the engine that predicted it."""
    ttft_ms: float
    """Mean time to first token at the planned load in milliseconds, without the wait for a slot of a full batch, which
    `queueing.ttft_ms` includes: the prefill, one step of the running batch, and the mean wait behind other prefills
    (M/D/1) at the rate that `batch` sustains. Where prefill is apart: its prefill, that wait, and the transfer of the
    KV cache. Where batches are static: the prefill and half of the batch that runs before. For a pinned batch it equals
    `prefill_ms`."""
    tpot_ms: float
    """Mean time per output token at the planned load in milliseconds, prefills of other requests included."""
    prefill_ms: float
    """One static pass over `batch` prompts of prompt_tokens in milliseconds, without a queue; over one prompt on each
    group of ranks that attends apart where prefill has replicas of its own."""
    decode_step_ms: float
    """Mean over the output_tokens steps that follow in milliseconds, with the same static batch."""
    batch: int
    """Requests in flight on each replica at the planned load, on each decode replica where prefill is apart: the
    smallest batch that sustains the rate, the share of the users of a replica, or the pinned batch."""
    max_concurrency: int
    """Requests in flight on the whole fleet with every batch at its largest within memory and SLO, or as pinned."""
    requests_per_s: float
    """Requests per second that the fleet completes with `batch` in flight on each replica. A batch is a whole number,
    so this is the planned rate or slightly more; it is less where pinned nodes do not suffice."""
    tokens_per_s: float
    """Output tokens per second of the fleet at that rate."""
    tokens_per_s_per_gpu: float
    """The same per GPU of the fleet."""
    breakdown_ms: dict[str, float]
    """Parts of one decode step of the static batch in milliseconds; they sum to decode_step_ms."""
    pools: tuple[ServingPool, ...] = ()
    """Of a disaggregated fleet; together they are the replicas of the layout. Empty: every replica does both."""
    queueing: Queueing | None = None
    """None for a pinned static batch, which has no queue."""
