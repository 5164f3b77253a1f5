"""Plans on a terminal: the decision in one line, then what it rests on."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from planner.parallelism import Layout
from planner.plan import InferencePerformance, Plan

if TYPE_CHECKING:
    from stacks.app import SynthesizedStack

GIB = 2**30
ALTERNATIVES_SHOWN = 4
REJECTIONS_SHOWN = 4


def print_plan(plan: Plan) -> None:
    """Print a plan: decision, memory, layout, performance, purchase mix, cost, alternatives, rejections."""
    console = _console()
    console.rule(f"[bold]{plan.name}[/]", align="left")
    console.print(decision(plan), highlight=False, soft_wrap=True)
    console.print(_memory_table(plan))
    for label, text in _facts(plan):
        console.print(f"[bold]{label:<12}[/] {text}", highlight=False)
    _print_bill(console, plan)
    if plan.alternatives:
        console.print("[bold]alternatives[/]", highlight=False)
        for other in plan.alternatives[:ALTERNATIVES_SHOWN]:
            where = f"{other.nodes} x {other.instance_type} ({other.region})"
            console.print(f"  {where}, {layout_name(other.layout)}: {other.reason}", highlight=False)
        _print_rest(console, len(plan.alternatives) - ALTERNATIVES_SHOWN)
    if plan.rejected:
        console.print("[bold]rejected[/]", highlight=False)
        for rejection in plan.rejected[:REJECTIONS_SHOWN]:
            console.print(f"  {rejection.candidate}: {rejection.reason}", highlight=False)
        _print_rest(console, len(plan.rejected) - REJECTIONS_SHOWN)
    for note in plan.notes:
        console.print(f"[yellow]note[/] {note}", highlight=False)


def decision(plan: Plan) -> str:
    """The decision in one line."""
    choice, cost = plan.choice, plan.cost
    money = "price unknown" if cost.usd_per_hour is None else f"{cost.usd_per_hour:,.2f} USD/h"
    where = f"{choice.provider} {choice.region}" + (f" {choice.zone}" if choice.zone else "")
    return (
        f"{plan.model.name} on {choice.nodes} x {choice.instance_type} ({choice.gpus} x {choice.gpu}) in {where}:"
        f" {_promise(plan)}, {money}"
    )


def layout_name(layout: Layout) -> str:
    """A layout in the field's shorthand."""
    degrees = [("TP", layout.tensor), ("PP", layout.pipeline), ("CP", layout.context), ("EP", layout.expert)]
    return " ".join([f"{name}{degree}" for name, degree in degrees if degree > 1] + [f"DP{layout.data}"])


def print_where(stacks: Sequence["SynthesizedStack"]) -> None:
    """Print where the stacks of a cluster lie."""
    console = _console()
    for stack in stacks:
        hcl = f" (for review: {stack.hcl_folder})" if stack.hcl_folder else ""
        console.print(f"[bold]{stack.role:<12}[/] {stack.folder}{hcl}", highlight=False, soft_wrap=True)
    console.print()


def print_cost(plan: Plan) -> None:
    """Print the bill line by line, each with the source of its price."""
    console = _console()
    console.print(decision(plan), highlight=False, soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("item", "quantity", "unit price", "USD/h", "price from"):
        table.add_column(column, justify="right" if column in {"quantity", "unit price", "USD/h"} else "left")
    for item in plan.cost.items:
        source = f"{item.provenance.source} ({item.provenance.as_of}, {item.provenance.kind})"
        unit_price = "unknown" if item.unit_price_usd is None else f"{item.unit_price_usd:,.4g} / {item.unit}"
        hourly = "unknown" if item.usd_per_hour is None else f"{item.usd_per_hour:,.4f}"
        table.add_row(item.name, f"{item.quantity:,.1f}", unit_price, hourly, source)
    console.print(table)
    _print_totals(console, plan)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=120)


def _promise(plan: Plan) -> str:
    performance = plan.performance
    if isinstance(performance, InferencePerformance):
        return (
            f"{performance.requests_per_s:.2f} requests/s at TTFT {performance.ttft_ms:.0f} ms,"
            f" TPOT {performance.tpot_ms:.1f} ms"
        )
    return f"done in {performance.days:.1f} days at {performance.mfu:.0%} MFU"


def _memory_table(plan: Plan) -> Table:
    memory = plan.memory_per_gpu
    title = f"memory per GPU, {memory.rank} (GiB)"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    rows = {
        "weights": memory.weights_bytes,
        "KV cache": memory.kv_cache_bytes,
        "activations": memory.activations_bytes,
        "gradients": memory.gradients_bytes,
        "optimizer": memory.optimizer_bytes,
        "overhead": memory.overhead_bytes,
        "total": memory.total_bytes,
        "usable": memory.capacity_bytes,
    }
    for name in rows:
        table.add_column(name, justify="right")
    table.add_row(*(f"{value / GIB:.1f}" for value in rows.values()))
    return table


def _facts(plan: Plan) -> Iterable[tuple[str, str]]:
    choice, layout, performance = plan.choice, plan.choice.layout, plan.performance
    details = f"weights {choice.weights}, KV cache {choice.kv_cache}, one replica on {layout.gpus_per_replica} GPUs"
    if performance.kind == "training":
        details = (
            f"micro-batch {layout.micro_batch}, ZeRO {layout.zero_stage}, recompute {layout.recompute},"
            f" sequence parallel {'on' if layout.sequence_parallel else 'off'}"
        )
    yield "layout", f"{layout_name(layout)}; {details}"
    if isinstance(performance, InferencePerformance):
        yield (
            "performance",
            f"{performance.tokens_per_s:,.0f} output tokens/s, batch {performance.batch} a replica,"
            f" up to {performance.max_concurrency:,} requests in flight at the SLO ({performance.engine})",
        )
    else:
        yield (
            "performance",
            f"{performance.step_time_s:.2f} s a step, {performance.tokens_per_s_per_gpu:,.0f} tokens/s/GPU,"
            f" goodput {performance.goodput:.1%}, {performance.gpu_hours:,.0f} GPU hours ({performance.engine})",
        )
    purchase = choice.purchase
    mix = f"{purchase.reserved_nodes} reserved, {purchase.spot_nodes} Spot, {purchase.on_demand_nodes} on-demand"
    if purchase.capacity_block_nodes:
        mix = f"{purchase.capacity_block_nodes} in a Capacity Block"
    yield "bought", f"{mix}: {purchase.reason}"


def _print_bill(console: Console, plan: Plan) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("cost item")
    table.add_column("USD/h", justify="right")
    table.add_column("price as of", justify="right")
    for item in plan.cost.items:
        hourly = "unknown" if item.usd_per_hour is None else f"{item.usd_per_hour:,.3f}"
        table.add_row(item.name, hourly, item.provenance.as_of)
    console.print(table)
    _print_totals(console, plan)


def _print_totals(console: Console, plan: Plan) -> None:
    cost = plan.cost
    if cost.usd_per_hour is None or cost.usd_per_month is None:
        console.print("[bold]cost[/]         unknown: no sourced price for the compute", highlight=False)
        return
    parts = [f"{cost.usd_per_hour:,.2f} USD/h", f"{cost.usd_per_month:,.0f} USD/month (730 h)"]
    if cost.usd_per_run is not None:
        parts.append(f"{cost.usd_per_run:,.0f} USD the run")
    if cost.usd_per_million_output_tokens is not None:
        parts.append(f"{cost.usd_per_million_output_tokens:,.2f} USD per million output tokens")
    console.print(f"[bold]cost[/]         {', '.join(parts)}", highlight=False)


def _print_rest(console: Console, more: int) -> None:
    if more > 0:
        console.print(f"  and {more} more (--json shows all)", highlight=False)
