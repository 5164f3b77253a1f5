"""The report of `llmcluster plan`: the decision in one line, then its details and its bill."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from llmcluster.reports.serving_text import operating_point, serving_facts, slo_table, without_slot_wait
from llmcluster.reports.tables import report_table
from llmcluster.reports.terminal import terminal
from llmcluster.reports.topology_text import topology_facts
from planner.plan.cost import Cost
from planner.plan.layout import Layout
from planner.plan.performance import InferencePerformance, TrainingPerformance
from planner.plan.plan import Plan
from planner.plan.reliability import Reliability
from provider_catalog.units import HOURS_PER_MONTH

GIB = 2**30
TARGETS = {
    "shared_file_system": "the shared file system",
    "object_store": "the object store",
    "own_storage": "on-premises storage",
}
"""Names of the storage that checkpoints are written to."""
ALTERNATIVES_SHOWN = 4
REJECTIONS_SHOWN = 4


def print_plan(plan: Plan, changes: tuple[str, ...] = ()) -> None:
    """Prints a plan: decision, memory, SLO, layout, performance, purchase mix, cost, alternatives, rejections.

    Args:
        plan: The plan.
        changes: Changes of the spec, any of which makes a plan meet its targets that misses them now.
    """
    screen = terminal()
    screen.rule(f"[bold]{plan.name}[/]", align="left")
    screen.print(decision(plan), highlight=False)
    screen.print(_memory_table(plan))
    slo = slo_table(plan)
    if slo is not None:
        screen.print(slo)
    for label, text in (*_facts(plan), *topology_facts(plan), *_updates(plan), *_smallest(plan), *serving_facts(plan)):
        screen.print(f"[bold]{label:<12}[/] {text}", highlight=False)
    _print_bill(screen, plan)
    if plan.alternatives:
        screen.print("[bold]alternatives[/]", highlight=False)
        for other in plan.alternatives[:ALTERNATIVES_SHOWN]:
            where = f"{other.nodes} x {other.instance_type} ({other.region})"
            screen.print(f"  {where}, {other.layout.short_name}: {other.reason}", highlight=False)
        _print_rest(screen, len(plan.alternatives) - ALTERNATIVES_SHOWN)
    if plan.rejected:
        screen.print("[bold]rejected[/]", highlight=False)
        for rejection in plan.rejected[:REJECTIONS_SHOWN]:
            screen.print(f"  {rejection.candidate}: {rejection.reason}", highlight=False)
        _print_rest(screen, len(plan.rejected) - REJECTIONS_SHOWN)
    for note in plan.notes:
        screen.print(f"[yellow]note[/] {note}", highlight=False)
    for change in changes:
        screen.print(f"[yellow]would help[/] {change}", highlight=False)


def decision(plan: Plan) -> str:
    """Returns the decision in one line."""
    choice, cost = plan.choice, plan.cost
    money = "price unknown" if cost.usd_per_hour is None else f"{cost.usd_per_hour:,.2f} USD/h"
    where = f"{choice.provider} {choice.region}" + (f" {choice.zone}" if choice.zone else "")
    where = "on-premises" if choice.provider == "own" else f"in {where}"
    return (
        f"{plan.model.name} on {choice.nodes} x {choice.instance_type} ({choice.gpus} x {choice.gpu}) {where}:"
        f" {_predicted(plan)}, {money}"
    )


def _schedule(layout: Layout) -> str:
    if layout.pipeline == 1:
        return ""
    chunks = f" with {layout.virtual_stages} virtual stages" if layout.virtual_stages > 1 else ""
    return f", {layout.schedule}{chunks}"


def print_bill_with_sources(plan: Plan) -> None:
    """Prints the bill line by line, each with the source of its price."""
    screen = terminal()
    screen.print(decision(plan), highlight=False)
    rows = []
    for item in plan.cost.items:
        source = f"{item.provenance.source} ({item.provenance.as_of}, {item.provenance.kind})"
        unit_price = "unknown" if item.unit_price_usd is None else f"{item.unit_price_usd:,.4g} / {item.unit}"
        hourly = "unknown" if item.usd_per_hour is None else f"{item.usd_per_hour:,.4f}"
        rows.append((item.name, f"{item.quantity:,.1f}", unit_price, hourly, source))
    headings = ("item", "quantity", "unit price", "USD/h", "price source")
    table = report_table(headings, rows, texts=(0, 2, 4), right=(2,))
    screen.print(table)
    _print_totals(screen, plan)
    for note in plan.cost.notes:
        screen.print(f"[yellow]note[/] {note}", highlight=False)


def _predicted(plan: Plan) -> str:
    performance = plan.performance
    if isinstance(performance, InferencePerformance):
        return (
            f"{performance.requests_per_s:.2f} requests/s, mean TTFT {performance.ttft_ms:.0f} ms"
            f"{without_slot_wait(performance)}, mean TPOT {performance.tpot_ms:.1f} ms"
        )
    return f"done in {duration(performance.days)} at {performance.mfu:.0%} MFU"


def duration(days: float) -> str:
    """Returns a time in days, or in hours or minutes when it is shorter than a day or an hour."""
    return (
        f"{days:.1f} days"
        if days >= 1
        else f"{days * 24:.1f} hours"
        if days * 24 >= 1
        else f"{days * 1440:.0f} minutes"
    )


def _updates(plan: Plan) -> Iterable[tuple[str, str]]:
    updates = plan.updates
    if updates is None:
        return
    parts = ", ".join(f"{name.replace('_', ' ')} {hours:.2g}" for name, hours in updates.hours_by_part.items())
    yield "updates", f"every {updates.every_days:g} days, {updates.hours:.3g} hours each: {parts}"
    if updates.usd_per_update is None or updates.standing_usd_per_month is None:
        return
    yield (
        "",
        f"{updates.usd_per_update:,.0f} USD per update; {updates.usd_per_month:,.0f} USD/month, of which"
        f" {updates.standing_usd_per_month:,.0f} USD are for network and storage, which stay between updates;"
        f" {updates.usd_per_year:,.0f} USD/year",
    )
    for option in updates.options:
        usd = "unknown" if option.usd_per_update is None else f"{option.usd_per_update:,.0f}"
        yield "", f"{'*' if option.chosen else ' '} {option.name}: {usd} USD per update for the nodes, {option.note}"


def _smallest(plan: Plan) -> Iterable[tuple[str, str]]:
    option = plan.smallest
    if option is None or option.performance.kind != "training":
        return
    money = "price unknown" if option.usd_per_run is None else f"{option.usd_per_run:,.0f} USD per run"
    yield (
        "smallest",
        f"{option.instance_type} ({option.region}, {option.gpus} GPU{'' if option.gpus == 1 else 's'}) also fits:"
        f" {duration(option.performance.days)}, {money}",
    )


def _memory_table(plan: Plan) -> Table:
    memory = plan.memory_per_gpu
    held = {
        "weights": memory.weights_bytes,
        "KV cache": memory.kv_cache_bytes,
        "activations": memory.activations_bytes,
        "gradients": memory.gradients_bytes,
        "optimizer": memory.optimizer_bytes,
        "overhead": memory.overhead_bytes,
        "total": memory.total_bytes,
        "usable": memory.capacity_bytes,
    }
    row = [f"{value / GIB:.1f}" for value in held.values()]
    return report_table(list(held), [row], texts=(), title=f"memory per GPU in GiB, {memory.rank}")


def _facts(plan: Plan) -> Iterable[tuple[str, str]]:
    choice, layout, performance = plan.choice, plan.choice.layout, plan.performance
    gpus = "1 GPU" if layout.gpus_per_replica == 1 else f"{layout.gpus_per_replica} GPUs"
    details = f"weights {choice.weights}, KV cache {choice.kv_cache}, one replica on {gpus}"
    if performance.kind == "training":
        details = (
            f"micro-batch {layout.micro_batch}, ZeRO {layout.zero_stage}, recompute {layout.recompute},"
            f" sequence parallel {'on' if layout.sequence_parallel else 'off'}{_schedule(layout)}"
        )
    yield "layout", f"{layout.short_name}; {details}"
    if isinstance(performance, InferencePerformance):
        yield (
            "performance",
            f"{performance.tokens_per_s:,.0f} output tokens/s {operating_point(performance)} with {performance.batch}"
            f" requests in flight per {'decode ' if performance.pools else ''}replica;"
            f" at most {performance.max_concurrency:,} in flight in total with full batches ({performance.engine})",
        )
    else:
        yield (
            "performance",
            f"{performance.step_time_s:.2f} s per step, {performance.tokens_per_s_per_gpu:,.0f} tokens/s/GPU,"
            f" goodput {performance.goodput:.1%}, {performance.gpu_hours:,.0f} GPU-hours ({performance.engine})",
        )
        yield "breakdown", _breakdown(performance)
        if performance.reliability is not None:
            yield "failures", f"{_failures(performance.reliability)}{_spares_cost(plan.cost)}"
        for proposal in plan.compression:
            daily = proposal.saved_usd_per_day
            money = "" if daily is None else f" ({daily:,.0f} USD/day)"
            yield (
                "proposed",
                f"{proposal.setting} shortens a step of {performance.step_time_s:,.3g} s by {proposal.saved_s:,.3g} s"
                f"{money}: replicas exchange {proposal.traffic_share:.0%} of the bytes, memory per GPU changes by"
                f" {proposal.memory_bytes / GIB:+,.1f} GiB; {proposal.software}; {proposal.caveat}",
            )
    purchase = choice.purchase
    mix = f"{purchase.reserved_nodes} reserved, {purchase.spot_nodes} Spot, {purchase.on_demand_nodes} on-demand"
    if purchase.capacity_block_nodes:
        mix = f"{purchase.capacity_block_nodes} in a Capacity Block"
    yield "purchase", f"{mix}: {purchase.reason}"


def _breakdown(performance: TrainingPerformance) -> str:
    """Returns the parts of a step in seconds, then the mean time that is lost between steps."""
    taken = {name: seconds for name, seconds in performance.breakdown_s.items() if seconds > 0}
    hidden = [name for name in performance.breakdown_s if name not in taken]
    text = _parts(taken)
    if hidden:
        text += f"; 0 s for {', '.join(name.replace('_', ' ') for name in hidden)}"
    if performance.effective_step_time_s is not None:
        between = _parts(performance.breakdown_between_steps_s)
        text += f"; between steps {between}; mean time per step with these {performance.effective_step_time_s:.3g} s"
    return text


def _parts(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_short(part)} s" for name, part in seconds.items())


def _spares_cost(cost: Cost) -> str:
    spares = cost.spare_nodes
    if spares is None:
        return ""
    run = "" if spares.usd_per_run is None else f", {spares.usd_per_run:,.0f} USD per run"
    return f" (not in the bill; would add {spares.usd_per_hour:,.2f} USD/h{run}, {spares.share_of_bill:.1%} of it)"


def _failures(outlook: Reliability) -> str:
    lost = outlook.time_shares
    target = TARGETS[outlook.checkpoint_to]
    count = outlook.spare_nodes
    spares = "no spare node needed" if count == 0 else f"{count} spare node{'s' if count > 1 else ''} advised"
    return (
        f"one interruption every {_short(outlook.mtbf_hours)} h ({_short(outlook.mtbf_hours_low)} to"
        f" {_short(outlook.mtbf_hours_high)}), {_short(outlook.interruptions)} in the run; checkpoints of"
        f" {outlook.checkpoint_bytes / 1e9:,.0f} GB every {_short(outlook.interval_s / 60)} min to {target}"
        f" ({outlook.checkpoint}: {outlook.write_s:,.0f} s to write, training stops for {outlook.stall_s:,.0f} s);"
        f" restart {_short(outlook.restart_s / 60)} min; time lost to checkpoints {lost['checkpoints']:.1%}, to"
        f" repeated work {lost['lost_work']:.1%}, to restarts {lost['restarts']:.1%}; goodput"
        f" {outlook.goodput_low:.0%} to {outlook.goodput_high:.0%}; {spares}"
    )


def _short(value: float) -> str:
    """Returns a number with three significant digits and without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.01 else "under 0.01"


def _print_bill(screen: Console, plan: Plan) -> None:
    rows = [
        (
            item.name,
            "unknown" if item.usd_per_hour is None else f"{item.usd_per_hour:,.3f}",
            item.provenance.as_of,
        )
        for item in plan.cost.items
    ]
    table = report_table(("cost item", "USD/h", "price as of"), rows, texts=(0,))
    screen.print(table)
    _print_totals(screen, plan)


def _print_totals(screen: Console, plan: Plan) -> None:
    cost = plan.cost
    if cost.usd_per_hour is None or cost.usd_per_month is None:
        screen.print("[bold]cost[/]         unknown: the compute nodes have no sourced price", highlight=False)
        return
    parts = [f"{cost.usd_per_hour:,.2f} USD/h", f"{cost.usd_per_month:,.0f} USD/month ({HOURS_PER_MONTH} h)"]
    if cost.usd_per_run is None and cost.usd_per_year is not None:
        parts.append(f"{cost.usd_per_year:,.0f} USD/year")
    if cost.usd_per_run is not None:
        parts.append(f"{cost.usd_per_run:,.0f} USD per run")
    if cost.usd_per_million_output_tokens is not None:
        parts.append(f"{cost.usd_per_million_output_tokens:,.2f} USD per million output tokens")
    if cost.usd_per_million_training_tokens is not None:
        parts.append(f"{cost.usd_per_million_training_tokens:,.4f} USD per million training tokens")
    screen.print(f"[bold]cost[/]         {', '.join(parts)}", highlight=False)
    for label, text in _cost_parts(cost):
        screen.print(f"[bold]{label:<12}[/] {text}", highlight=False)


def _cost_parts(cost: Cost) -> Iterable[tuple[str, str]]:
    for label, parts in (("by stack", cost.usd_per_hour_by_stack), ("by phase", cost.usd_per_hour_by_phase)):
        total = sum(parts.values())
        if total > 0:
            yield label, ", ".join(f"{name.replace('_', ' ')} {usd / total:.1%}" for name, usd in parts.items())
    if cost.usd_per_hour_by_rollout:
        phases = (f"{name} {usd:,.2f} USD/h" for name, usd in cost.usd_per_hour_by_rollout.items())
        yield "by roll-out", ", ".join(phases)
    if cost.tokens is not None:
        yield (
            "tokens",
            f"{cost.tokens.input_usd_per_million:,.3f} USD per million input tokens,"
            f" {cost.tokens.output_usd_per_million:,.3f} USD per million output tokens; the cost of an hour is split by"
            " prefill and decode time",
        )
    if cost.range is not None:
        bounds = cost.range
        drivers = "; ".join(
            f"error in {driver.name} {driver.low_usd:+,.0f} to {driver.high_usd:+,.0f} USD" for driver in bounds.drivers
        )
        yield (
            "range",
            f"{bounds.low_usd:,.0f} to {bounds.high_usd:,.0f} USD/{bounds.period}: {drivers} (assumptions: --json)",
        )


def _print_rest(screen: Console, more: int) -> None:
    if more > 0:
        screen.print(f"  and {more} more (--json shows all)", highlight=False)
