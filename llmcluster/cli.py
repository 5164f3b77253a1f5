"""Commands. Each imports what it needs when it runs, so that `--help` is instant."""

from pathlib import Path

import click

from llmcluster.errors import exit_codes

OUTDIR = Path("cdktf.out")
HCL_OUTDIR = Path("hcl.out")
CLUSTERS = "clusters/*.yaml"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="llmcluster", prog_name="llmcluster")
def cli() -> None:
    """From a large language model and a workload to reviewed Terraform and a bill, on AWS and Azure."""


@cli.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the whole plan as JSON.")
@click.option("--lock", is_flag=True, help="Keep this plan beside the spec; synth then reproduces it byte for byte.")
def plan(spec: Path, as_json: bool, lock: bool) -> None:
    """Decide which cluster carries the workload of SPEC: size, layout, purchase mix, cost, alternatives."""
    with exit_codes():
        from planner.optimizer import plan as make_plan
        from provider_catalog.catalog import Catalog
        from stacks.locks import plan_json, write_lock
        from stacks.specs import load_spec

        loaded = load_spec(spec)
        decided = make_plan(loaded.spec, loaded.architecture, Catalog.load())
        if as_json:
            click.echo(plan_json(decided), nl=False)
        else:
            from llmcluster.report import print_plan

            print_plan(decided)
        if lock:
            click.echo(f"locked in {write_lock(decided, spec)}", err=True)


@cli.command()
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=OUTDIR, show_default=True, help="Terraform JSON.")
@click.option("--hcl-out", type=click.Path(path_type=Path), default=HCL_OUTDIR, show_default=True, help="For review.")
@click.option("--no-hcl", is_flag=True, help="Write the JSON that Terraform applies and no HCL.")
def synth(specs: tuple[Path, ...], out: Path, hcl_out: Path, no_hcl: bool) -> None:
    """Write the Terraform stacks of SPECS (all of clusters/ when none is named) with plan and cost beside them."""
    with exit_codes():
        from stacks.app import synthesize

        for stack in synthesize(specs or _example_specs(), out, None if no_hcl else hcl_out):
            locked = " (from its lock)" if stack.locked else ""
            click.echo(f"{stack.name}{locked}: {stack.folder}" + (f", {stack.hcl_folder}" if stack.hcl_folder else ""))


@cli.command()
def demo() -> None:
    """Plan and synthesize the example clusters and print every decision and bill."""
    with exit_codes():
        from llmcluster.report import print_plan, print_where
        from provider_catalog.catalog import Catalog
        from stacks.app import write_stacks
        from stacks.planning import plan_specs

        catalog = Catalog.load()
        planned = plan_specs(_example_specs(), catalog)
        written = write_stacks(planned, catalog, OUTDIR, HCL_OUTDIR)
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
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def cost(spec: Path, as_json: bool) -> None:
    """Print the bill of SPEC, line by line with the source of every price; a locked plan is taken as it stands."""
    with exit_codes():
        from llmcluster.report import print_cost
        from provider_catalog.catalog import Catalog
        from stacks.planning import plan_specs

        decided = plan_specs([spec], Catalog.load())[0].plan
        if as_json:
            click.echo(decided.cost.model_dump_json(indent=2))
        else:
            print_cost(decided)


@cli.group()
def spec() -> None:
    """About the spec file itself."""


@spec.command()
def schema() -> None:
    """Print the JSON Schema of a spec, so that editors complete and check it."""
    import json

    from planner.spec import ClusterSpec

    click.echo(json.dumps(ClusterSpec.model_json_schema(), indent=2))


def _example_specs() -> tuple[Path, ...]:
    """The specs of clusters/ below the working directory."""
    from planner.errors import SpecError

    found = tuple(sorted(Path().glob(CLUSTERS)))
    if not found:
        raise SpecError(f"no spec matches {CLUSTERS} here ({Path.cwd()}); name a spec, or run from the project's root")
    return found
