"""From spec files to plans, a lock where there is one. Without cdktf, so that nothing here starts Node."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.assembly import spec_sha256
from planner.errors import InfeasibleError, SpecError
from planner.optimizer import plan as make_plan
from planner.plan import Plan
from provider_catalog.catalog import Catalog
from provider_catalog.facts import CatalogError
from stacks.locks import read_lock
from stacks.specs import LoadedSpec, Pricing, load_spec


@dataclass(frozen=True)
class PlannedSpec:
    """A spec as it was read, the decision that is synthesized for it, and the prices behind that decision."""

    loaded: LoadedSpec
    plan: Plan
    locked: bool
    pricing: Pricing

    @property
    def path(self) -> Path:
        """File of the spec."""
        return self.loaded.path

    @property
    def priced_catalog(self) -> Catalog:
        """The catalog under the prices that the spec and the command line name.

        Raises:
            SpecError: a price file is wrong. Only a locked plan comes this far with one.
        """
        return self.pricing.catalog


def plan_specs(spec_paths: Sequence[Path], catalog: Catalog, overlay: Path | None = None) -> tuple[PlannedSpec, ...]:
    """Reads and plans every spec; a locked plan is taken as it stands.

    Args:
        spec_paths: Specs, each with a name of its own.
        catalog: Facts and prices.
        overlay: Negotiated prices over those of the catalog and of each spec.

    Raises:
        SpecError: a spec is wrong, two clusters share a name, or a lock does not fit its spec.
        CatalogError: the catalog does not hold what a spec names.
        InfeasibleError: no cluster serves a spec.
        OSError: a file cannot be read.
    """
    planned: dict[str, PlannedSpec] = {}
    for path in spec_paths:
        loaded = load_spec(path)
        name = loaded.spec.name
        if name in planned:
            raise SpecError(
                f"name: {name!r} stands in {planned[name].path} and in {path}; "
                "stacks and state are named after it, so give one of them another name"
            )
        locked = read_lock(path, spec_sha256(loaded.spec))
        pricing = Pricing(catalog, loaded, overlay)
        planned[name] = PlannedSpec(loaded, locked or _decide(loaded, pricing), locked is not None, pricing)
    return tuple(planned.values())


def _decide(loaded: LoadedSpec, pricing: Pricing) -> Plan:
    """Plans one spec among several: every error names the file."""
    try:
        return make_plan(loaded.spec, loaded.architecture, pricing.catalog)
    except (SpecError, CatalogError) as error:
        raise SpecError(f"{loaded.path}: {error}") from error
    except InfeasibleError as error:
        raise InfeasibleError(f"{loaded.path}: {error}", error.nearest) from error
