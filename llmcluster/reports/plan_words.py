"""Phrases of the default screen: the task, the purchase, the bill and the layout of a plan in words."""

from typing import Final

from planner.plan.performance import CacheCapacity, TrainingPerformance
from planner.plan.plan import Plan
from planner.spec import InferenceWorkload, TrainingWorkload

RATES: Final = {
    "on-demand": "at the on-demand rate",
    "reserved-1y": "at the 1-year rate",
    "reserved-3y": "at the 3-year rate",
}
"""The rate of reserved nodes by the price option that bills them."""
STEPS: Final = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def title(plan: Plan) -> str:
    """Returns the model and its task, such as "DeepSeek-R1 for 6 requests/s"."""
    model, workload = plan.model.name.rsplit("/", 1)[-1], plan.spec.workload
    if isinstance(workload, InferenceWorkload):
        if workload.concurrency is not None:
            return f"{model} for {workload.concurrency:,} requests in flight"
        return f"{model} for {requests_per_s(workload.offered_requests_per_s)}"
    again = "" if workload.every_days is None else f" every {workload.every_days:g} days"
    return f"{model}, {workload.kind} on {short(_tokens(workload))} tokens{again}"


def requests_per_s(rate: float) -> str:
    """Returns a rate of requests."""
    return f"{rate:,.4g} request{'' if rate == 1 else 's'}/s"


def _tokens(workload: TrainingWorkload) -> float:
    if workload.dataset is not None:
        return workload.dataset.useful_tokens(workload.sequence_length)
    return workload.tokens or 0.0


def bought(plan: Plan) -> str:
    """Returns how the nodes are bought."""
    purchase = plan.choice.purchase
    words = {
        "reserved": f"reserved {RATES.get(plan.cost.usage.reserved_option, plan.cost.usage.reserved_option)}",
        "spot": "Spot",
        "on_demand": "on-demand",
        "capacity_block": "in a Capacity Block",
    }
    parts = purchase.nodes_by_kind()
    if len(parts) == 1:
        return words[next(iter(parts))]
    return ", ".join(f"{nodes:,} {words[kind]}" for kind, nodes in parts.items())


def bill_words(plan: Plan) -> str:
    """Returns the bill with its likely range: of a run or an update when training, else of a month."""
    cost = plan.cost
    if cost.usd_per_hour is None or cost.usd_per_month is None:
        return "unknown: the compute nodes have no sourced price"
    likely = ""
    if cost.range is not None:
        likely = f" (likely {short_usd(cost.range.low_usd)}–{short_usd(cost.range.high_usd)})"
    updates = plan.updates
    if updates is not None and updates.usd_per_update is not None and updates.usd_per_month is not None:
        return f"{updates.usd_per_update:,.0f} USD per update · {updates.usd_per_month:,.0f} USD/month"
    if cost.usd_per_run is not None:
        million = cost.usd_per_million_training_tokens
        tokens = "" if million is None else f" · {million:,.3g} USD per M tokens"
        return f"{cost.usd_per_run:,.0f} USD for the run{likely}{tokens}"
    million = cost.usd_per_million_output_tokens
    tokens = "" if million is None else f" · {million:,.2f} USD per M output tokens"
    return f"{cost.usd_per_month:,.0f} USD/month{likely}{tokens}"


def layout_words(plan: Plan) -> str:
    """Returns how the model lies on the GPUs, without abbreviations."""
    choice, layout = plan.choice, plan.choice.layout
    split = []
    if layout.tensor > 1:
        split.append(f"tensor-parallel over {layout.tensor} GPUs")
    if layout.pipeline > 1:
        split.append(f"{layout.pipeline} pipeline stages")
    if layout.context > 1:
        split.append(f"context-parallel over {layout.context} GPUs")
    if layout.expert > 1:
        split.append(f"experts over {layout.expert} GPUs")
    if layout.attention_data > 1:
        split.append(f"attention in {layout.attention_data} data-parallel groups")
    each = ", ".join(split) or "on 1 GPU"
    if isinstance(plan.performance, TrainingPerformance):
        copies = "1 copy" if layout.data == 1 else f"{layout.data:,} data-parallel copies, each"
        return f"{copies} {each}; {choice.weights}"
    pools = plan.performance.pools
    count = " and ".join(f"{pool.replicas:,} {pool.role}" for pool in pools) or f"{layout.data:,}"
    one = layout.data == 1 and not pools
    kv_cache = "" if choice.kv_cache == choice.weights else f", KV cache {choice.kv_cache}"
    return f"{count} replica{'' if one else 's, each'} {each}; {choice.weights}{kv_cache}"


def short(value: float) -> str:
    """Returns a number with three digits and a suffix, such as 1.4T."""
    for size, suffix in STEPS:
        if value >= size:
            scaled = value / size
            return f"{scaled:.0f}{suffix}" if scaled >= 100 else f"{scaled:.3g}{suffix}"
    return f"{value:,.0f}"


def short_usd(usd: float) -> str:
    """Returns an amount with two or three digits, such as 81k or 2.08M; money is not counted in billions here."""
    if usd >= 1e6:
        return f"{usd / 1e6:,.2f}M"
    if usd >= 1e4:
        return f"{usd / 1e3:.0f}k"
    return f"{usd / 1e3:.1f}k" if usd >= 1e3 else f"{usd:,.0f}" if usd >= 10 else f"{usd:,.2f}"


def cache_words(cache: CacheCapacity, workload: InferenceWorkload) -> str:
    """Returns tokens of the KV cache of a replica, the longest request, and the requests in flight at once."""
    held = f"{cache.requests_at_planned_length:,} requests of {workload.context_tokens:,}"
    if cache.max_context_tokens != workload.context_tokens:
        held += f" or {cache.requests_at_max_context:,} of {cache.max_context_tokens:,}"
    return f"{cache.tokens:,} tokens a replica: {held}; longest request {cache.longest_request_tokens:,}"
