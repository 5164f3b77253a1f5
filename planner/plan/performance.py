"""Predicted performance of the chosen cluster for training and serving."""

from typing import Literal

from pydantic import Field

from planner.plan.base import PlanModel
from planner.plan.reliability import Reliability


class TrainingPerformance(PlanModel):
    """Predicted performance of a training run. MFU counts model FLOPs only; HFU also counts recomputed FLOPs."""

    kind: Literal["training"] = "training"
    engine: str
    step_time_s: float
    steps: int
    mfu: float
    hfu: float
    tflops_per_gpu: float
    tokens_per_s_per_gpu: float
    goodput: float
    """Share of the time spent on steps that are kept; days = steps x step_time_s / goodput."""
    gpu_hours: float
    days: float
    breakdown_s: dict[str, float]
    """Parts of one step in seconds; they sum to step_time_s, the step time that published runs report."""
    breakdown_between_steps_s: dict[str, float] = Field(default_factory=dict)
    """Mean seconds per step that the run spends outside of steps: `checkpoints` (training stops for the write, or for
    the copy to host memory if checkpoints are asynchronous), `lost_work` (steps repeated after a failure) and
    `restarts`. With breakdown_s they sum to effective_step_time_s. Empty in plans made before this field."""
    effective_step_time_s: float | None = None
    """step_time_s / goodput, so that days = steps x effective_step_time_s. None in plans made before this field."""
    reliability: Reliability | None = None
    """None in plans made before this field."""


class ServingPool(PlanModel):
    """Replicas of a disaggregated fleet that run one phase of every request."""

    role: Literal["prefill", "decode"]
    replicas: int
    batch: int
    """Requests on each replica at the planned load."""


class Queueing(PlanModel):
    """Queueing before the first token on one replica (on one prefill replica of a disaggregated fleet).

    The operating point is the arrival rate of the spec. If the spec gives a concurrency instead, it is the rate that
    `InferencePerformance.batch` sustains.
    """

    requests_per_s_per_replica: float
    """Arrival rate of the operating point."""
    prefill_load: float
    """Share of the time that a replica spends on prefill; at 1 or more the queue grows without end."""
    slots: int | None
    """Requests in the largest batch within memory and SLO; None if no request waits for a slot, which is so for a given
    concurrency and in a disaggregated fleet."""
    slot_load: float | None
    """Mean share of slots in use; at 1 or more the queue grows without end."""
    slot_wait_probability: float | None
    """Probability that an arriving request finds all slots in use."""
    ttft_ms: dict[str, float | None]
    """TTFT in milliseconds by statistic (mean, p50, p95, p99): the waits for a slot and for other prefills, and the
    prefill with the decode steps that share it. None if a queue grows without end."""


class CacheCapacity(PlanModel):
    """What the KV cache of one replica holds, as its engine allocates it.

    The engine profiles its start-up with `max_num_batched_tokens` and `max_num_seqs`, and gives the rest of its memory
    to the KV cache.
    """

    engine: str
    """Serving engine whose memory is counted."""
    version: str
    memory_setting: float
    """Share of GPU memory: gpu_memory_utilization of vLLM, mem_fraction_static of SGLang, free_gpu_memory_fraction of
    TensorRT-LLM, or headroom.memory_fraction."""
    max_num_batched_tokens: int
    max_num_seqs: int
    pool_bytes_per_gpu: int
    """Memory of the KV cache on the fullest GPU."""
    outside_bytes_per_gpu: int
    """CUDA graphs that the engine captures without deducting them from its share."""
    tokens: int
    """Tokens of the KV cache, as the engine logs them; those of all data-parallel attention groups together."""
    longest_request_tokens: int
    """Longest request that fits, prompt and output together, at most the positions of the model."""
    requests_at_planned_length: int
    """Requests of prompt_tokens + output_tokens that are in flight at once."""
    max_context_tokens: int
    requests_at_max_context: int
    """Requests of max_context_tokens that are in flight at once."""


class InferencePerformance(PlanModel):
    """Predicted performance of a serving fleet.

    There are three operating points. The planned load, with `batch` requests in flight on each replica: `ttft_ms`,
    `tpot_ms`, `requests_per_s`, `tokens_per_s` and `queueing`. One static batch of that size, prefilled in one pass and
    decoded to its end: `prefill_ms`, `decode_step_ms` and `breakdown_ms`. Every batch at its largest within memory and
    SLO: `max_concurrency` alone.
    """

    kind: Literal["inference"] = "inference"
    engine: str
    """Name of the performance model that predicted it."""
    ttft_ms: float
    """Mean time to first token at the planned load in milliseconds, without the wait for a slot of a full batch, which
    `queueing.ttft_ms` includes. It is the prefill, one step of the running batch, and the mean wait for other prefills
    (M/D/1) at the rate that `batch` sustains. Where prefills use up the token budget of every step, it is the wait of
    the requests that do not decode. In a disaggregated fleet it is the prefill, that wait and the transfer of the KV
    cache. With static batches it is the prefill and half the time of the previous batch. For a pinned batch it equals
    `prefill_ms`."""
    tpot_ms: float
    """Mean time per output token at the planned load in milliseconds, including prefills of other requests and the
    host's part of each step."""
    prefill_ms: float
    """Time of the kernels of one pass over `batch` prompts of prompt_tokens in milliseconds, without a queue. In a
    disaggregated fleet it is a pass over one prompt per attention group."""
    decode_step_ms: float
    """Mean time of the kernels in the output_tokens decode steps of the same static batch in milliseconds."""
    host_ms: float = 0.0
    """Time that the serving engine's host adds to one of these steps in milliseconds: scheduling, sampling,
    detokenising. It is part of tpot_ms and of no other field. 0 in plans made before this field."""
    batch: int
    """Requests in flight on each replica (each decode replica of a disaggregated fleet) at the planned load: the
    smallest batch that sustains the rate, the share of a replica in the given concurrency, or the pinned batch."""
    max_concurrency: int
    """Requests in flight on the whole fleet if every batch is the largest within memory and SLO, or the pinned one."""
    requests_per_s: float
    """Requests per second that the fleet completes with `batch` in flight on each replica. A batch is a whole number,
    so this is the planned rate or slightly more; it is less if pinned nodes do not suffice."""
    tokens_per_s: float
    """Output tokens per second of the fleet at that rate."""
    tokens_per_s_per_gpu: float
    """tokens_per_s divided by the GPUs of the fleet."""
    breakdown_ms: dict[str, float]
    """Parts of one decode step of the static batch in milliseconds; they sum to decode_step_ms."""
    pools: tuple[ServingPool, ...] = ()
    """Pools of a disaggregated fleet, which sum to the replicas of the layout. Empty if every replica runs both
    phases."""
    cache: CacheCapacity | None = None
    """What the KV cache of one replica holds; None in plans made before this field."""
    queueing: Queueing | None = None
    """None for a pinned static batch, which has no queue."""
