"""Options and arguments that several commands share."""

import math
from pathlib import Path
from typing import Any, Final

import click

OUTDIR: Final = Path("cdktf.out")
HCL_OUTDIR: Final = Path("hcl.out")
CLUSTERS: Final = "clusters/*.yaml"

SPEC_FILE: Final = click.Path(path_type=Path)
prices_option = click.option(
    "--prices",
    type=click.Path(path_type=Path),
    help="Negotiated prices (YAML). They take precedence over the spec's `prices` and over the catalog.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


class Money(click.FloatRange):
    """An amount of money above 0. Click takes `nan` and `inf` for floats; this type refuses them."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Returns the amount in USD."""
        from planner.spec.amounts import amount as written

        short = written(value) if isinstance(value, str) else None
        amount = float(super().convert(value if short is None else short, param, ctx))
        if not math.isfinite(amount):
            self.fail(f"{value} is no amount of money.", param, ctx)
        return amount


def example_specs() -> tuple[Path, ...]:
    """Returns the specs of clusters/ below the working directory.

    Raises:
        SpecError: there are none.
    """
    from planner.errors import SpecError

    found = tuple(sorted(Path().glob(CLUSTERS)))
    if not found:
        raise SpecError(f"no spec matches {CLUSTERS} here ({Path.cwd()}); name a spec, or run from the project's root")
    return found
