"""Commands. Each imports what it needs when it runs, so that `--help` is instant."""

import math
from pathlib import Path
from typing import Any

import click

from llmcluster.catalog.command import catalog as catalog_commands
from llmcluster.errors import exit_codes

OUTDIR = Path("cdktf.out")
HCL_OUTDIR = Path("hcl.out")
CLUSTERS = "clusters/*.yaml"
PRICES_HELP = "Negotiated prices (YAML) over those of the catalog and of the spec."


class _Money(click.FloatRange):
    """An amount above 0; `nan` and `inf` are floats and no amounts."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        amount = float(super().convert(value, param, ctx))
        if not math.isfinite(amount):
            self.fail(f"{value} is no amount of money.", param, ctx)
        return amount


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="llmcluster", prog_name="llmcluster")
def cli() -> None:
    """From a large language model and a workload to reviewed Terraform and a bill, on AWS and Azure."""


@cli.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the whole plan as JSON.")
@click.option("--lock", is_flag=True, help="Keep this plan beside the spec; synth then reproduces it byte for byte.")
@click.option("--max-usd-per-month", type=_Money(min=0, min_open=True), help="Exit 3 with the nearest plan above it.")
@click.option("--max-usd-per-run", type=_Money(min=0, min_open=True), help="The same for a training run as a whole.")
@click.option("--prices", type=click.Path(path_type=Path), help=PRICES_HELP)
def plan(
    spec: Path,
    as_json: bool,
    lock: bool,
    max_usd_per_month: float | None,
    max_usd_per_run: float | None,
    prices: Path | None,
) -> None:
    """Decide which cluster carries the workload of SPEC: size, layout, purchase mix, cost, alternatives."""
    with exit_codes(as_json):
        from llmcluster.catalog.staleness import warn_of_dates
        from llmcluster.deciding import bounds, decide, refuse_scenario
        from planner.workspace.locks import plan_json, write_lock
        from planner.workspace.specs import load_spec, priced_catalog
        from provider_catalog.catalog import Catalog

        if lock:
            refuse_scenario(spec)
        loaded = load_spec(spec)
        catalog = priced_catalog(Catalog.load(), loaded, prices)
        decided, levers = decide(loaded, catalog, bounds(loaded, max_usd_per_month, max_usd_per_run))
        warn_of_dates(decided)
        if as_json:
            click.echo(plan_json(decided), nl=False)
        else:
            from llmcluster.report import print_plan

            print_plan(decided, levers)
        if lock:
            click.echo(f"locked in {write_lock(decided, spec)}", err=True)


@cli.command()
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=OUTDIR, show_default=True, help="Terraform JSON.")
@click.option("--hcl-out", type=click.Path(path_type=Path), default=HCL_OUTDIR, show_default=True, help="For review.")
@click.option("--no-hcl", is_flag=True, help="Write the JSON that Terraform applies and no HCL.")
@click.option("--prices", type=click.Path(path_type=Path), help=PRICES_HELP)
def synth(specs: tuple[Path, ...], out: Path, hcl_out: Path, no_hcl: bool, prices: Path | None) -> None:
    """Write the Terraform stacks of SPECS (all of clusters/ when none is named) with plan and cost beside them."""
    with exit_codes():
        from stacks.app import synthesize

        for stack in synthesize(specs or _example_specs(), out, None if no_hcl else hcl_out, prices):
            locked = " (from its lock)" if stack.locked else ""
            click.echo(f"{stack.name}{locked}: {stack.folder}" + (f", {stack.hcl_folder}" if stack.hcl_folder else ""))


@cli.command("bootstrap-state")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("bootstrap.out"), show_default=True)
def bootstrap_state(spec: Path, out: Path) -> None:
    """Write the stack of the bucket or storage account that SPEC names for its states; apply it before all others."""
    with exit_codes():
        from stacks.state_bootstrap import bootstrap_state

        folder = bootstrap_state(spec, out)
        click.echo(f"{folder}\napply it once: terraform -chdir={folder} init && terraform -chdir={folder} apply")


@cli.command()
def demo() -> None:
    """Plan and synthesize the example clusters and print every decision and bill."""
    with exit_codes():
        from llmcluster.report import print_plan, print_where
        from planner.workspace.planning import plan_specs
        from provider_catalog.catalog import Catalog
        from stacks.app import write_stacks

        planned = plan_specs(_example_specs(), Catalog.load())
        written = write_stacks(planned, OUTDIR, HCL_OUTDIR)
        for entry in planned:
            print_plan(entry.plan)
            print_where([stack for stack in written if stack.cluster == entry.plan.name])


@cli.command()
@click.argument("model")
@click.option("--weights", default=None, help="Format of the weights; the published one when left out.")
@click.option("--experts", default=None, help="Format of routed experts; that of the weights when left out.")
@click.option("--keep", multiple=True, help="Stays in 16 bits: attention, mlp, experts, or layers such as 0-2.")
@click.option("--kv-cache", default="bf16", show_default=True, help="Format of the KV cache.")
@click.option("--context", type=int, default=None, help="Tokens of a sequence; up to 8192 when left out.")
@click.option("--concurrency", type=int, default=16, show_default=True, help="Sequences in the cache at once.")
@click.option("--guide", is_flag=True, help="Also print the hardware guide's rules next to ours.")
@click.option("--exact", is_flag=True, help="Count by instantiating the model (pip install 'llmcluster[exact]').")
@click.option("--fleet/--no-fleet", default=None, help="GPUs that serve and train it; JSON has them when asked.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def size(
    model: str,
    weights: str | None,
    experts: str | None,
    keep: tuple[str, ...],
    kv_cache: str,
    context: int | None,
    concurrency: int,
    guide: bool,
    exact: bool,
    fleet: bool | None,
    as_json: bool,
) -> None:
    """Say what MODEL holds: a preset, a config.json or its folder, or a nominal size such as 65B."""
    with exit_codes():
        from llmcluster.size.command import size_output

        click.echo(
            size_output(
                model,
                weights=weights,
                experts=experts,
                keep=keep,
                kv_cache=kv_cache,
                context_tokens=context,
                concurrency=concurrency,
                guide=guide,
                exact=exact,
                fleet=fleet,
                as_json=as_json,
            )
        )


@cli.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, as --format json does.")
@click.option("--format", "form", type=click.Choice(["text", "json", "infracost"]), default="text", show_default=True)
@click.option(
    "--usage", type=click.Path(path_type=Path), help="What is billed by use: a cost.json, or its usage alone."
)
@click.option("--region", help="Where resources are priced when they do not say.")
@click.option("--prices", type=click.Path(path_type=Path), help=PRICES_HELP)
def cost(
    paths: tuple[Path, ...], as_json: bool, form: str, usage: Path | None, region: str | None, prices: Path | None
) -> None:
    """Print the bill of PATH, line by line with the source of every price.

    PATH is a spec or a locked plan, which is taken as it stands; or what Terraform would build: an output folder of
    synth, or the output of `terraform show -json`. That is priced from its resources alone, without the plan.
    """
    with exit_codes():
        from llmcluster.costs.bill import cost_output

        cost_output(paths, "json" if as_json else form, usage, region, prices)


@cli.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--seed", type=int, default=0, show_default=True, help="Of the reclaims of Spot nodes.")
@click.option(
    "--term",
    type=click.Choice(["1-year", "3-year", "none"]),
    help="At whose rate the policies reserve; the spec's, else the shortest with a price.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--prices", type=click.Path(path_type=Path), help=PRICES_HELP)
def mix(spec: Path, seed: int, term: str | None, as_json: bool, prices: Path | None) -> None:
    """Compare ways to buy the cluster of SPEC: policies over a simulated year, or what a run could be bought as."""
    with exit_codes():
        from llmcluster.costs.mix import mix_output

        mix_output(spec, seed, as_json, prices, term)


@cli.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--json", "form", flag_value="json", help="Print as JSON.")
@click.option("--markdown", "form", flag_value="markdown", help="Print as Markdown, for a pull request.")
@click.option("--prices", type=click.Path(path_type=Path), help=PRICES_HELP)
def diff(old: Path, new: Path, form: str | None, prices: Path | None) -> None:
    """Say what changed from OLD to NEW, money first, then the decision and why.

    Each is a spec (a locked plan is taken as it stands), a locked plan, or an output folder of synth.
    """
    with exit_codes():
        from llmcluster.costs.diff import diff_output

        diff_output(old, new, form or "text", prices)


@cli.command()
@click.argument("spec", required=False, type=click.Path(path_type=Path))
@click.option("--co2", "grid", metavar="GRID", help="Also print emissions on the grid of a country, such as us or de.")
@click.option("--guide", is_flag=True, help="Work the hardware guide's example of a 13B model from its parts.")
@click.option("--peers", is_flag=True, help="Compare AMD's servers with NVIDIA's at equal compute.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--prices", type=click.Path(path_type=Path), help=PRICES_HELP)
@click.option(
    "--own",
    type=click.Path(path_type=Path),
    help="Figures of one's own servers, power, housing and staff (YAML) in place of the catalog's.",
)
def compare(
    spec: Path | None,
    grid: str | None,
    guide: bool,
    peers: bool,
    as_json: bool,
    prices: Path | None,
    own: Path | None,
) -> None:
    """Compare SPEC on every cloud and on servers of one's own: cost, range, break-even month, CO2."""
    with exit_codes():
        from llmcluster.costs.compare import compare_output

        compare_output(spec, grid=grid, guide=guide, peers=peers, as_json=as_json, prices=prices, own=own)


@cli.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option(
    "--engine",
    type=click.Choice(["vllm", "sglang", "tensorrt-llm", "megatron-lm"]),
    default=None,
    help="What runs the model; left out: the spec's, or the first that can.",
)
@click.option("--json", "as_json", is_flag=True, help="Print commands, files and notes as JSON.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Write the script and its files there.")
def launch(spec: Path, engine: str | None, as_json: bool, out: Path | None) -> None:
    """Print the script that starts the planned layout of SPEC on each node, in its engine's documented flags."""
    with exit_codes():
        from llmcluster.launch import launch_json, launch_of_spec, write_launch
        from planner.launch.script import script

        made = launch_of_spec(spec, engine)
        if out is not None:
            for path in write_launch(made, out):
                click.echo(str(path), err=as_json)
        if as_json:
            click.echo(launch_json(made))
        elif out is None:
            click.echo(script(made), nl=False)


@cli.group()
def scenario() -> None:
    """Presets of the hardware guide: real-time chat, batch generation, continued training."""


@scenario.command("list")
def scenario_list() -> None:
    """List the scenarios and the hardware that the guide names for each."""
    with exit_codes():
        from llmcluster.scenario import scenarios_listed

        click.echo(scenarios_listed())


@scenario.command("show")
@click.argument("name")
def scenario_show(name: str) -> None:
    """Print the spec of scenario NAME, to save and change; `plan scenario:NAME` plans it as it is."""
    with exit_codes():
        from llmcluster.scenario import scenario_shown

        click.echo(scenario_shown(name), nl=False)


@scenario.command("judge")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def scenario_judge(name: str, as_json: bool) -> None:
    """Replay the guide's hardware for scenario NAME, check what it asks for, and hold it against our own search."""
    with exit_codes():
        from llmcluster.scenario import judgement, print_judgement

        found = judgement(name)
        if as_json:
            click.echo(found.model_dump_json(indent=2))
        else:
            print_judgement(found)


@cli.group()
def spec() -> None:
    """About the spec file itself."""


@spec.command()
def schema() -> None:
    """Print the JSON Schema of a spec, so that editors complete and check it."""
    with exit_codes():
        import json

        from planner.spec import ClusterSpec

        click.echo(json.dumps(ClusterSpec.model_json_schema(), indent=2))


cli.add_command(catalog_commands)


def _example_specs() -> tuple[Path, ...]:
    """The specs of clusters/ below the working directory."""
    from planner.errors import SpecError

    found = tuple(sorted(Path().glob(CLUSTERS)))
    if not found:
        raise SpecError(f"no spec matches {CLUSTERS} here ({Path.cwd()}); name a spec, or run from the project's root")
    return found
