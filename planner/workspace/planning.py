"""Turns spec files into plans, or reads their locks. Imports no cdktf, which would start Node."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from planner.errors import InfeasibleError, SpecError
from planner.plan.plan import Plan
from planner.search.optimizer import plan as make_plan
from planner.workspace.locks import read_lock
from planner.workspace.specs import LoadedSpec, load_spec, priced_catalog
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError


@dataclass(frozen=True)
class PlannedSpec:
    """A spec with its plan and everything else that callers need, so that they do not read the spec again."""

    path: Path
    plan: Plan
    locked: bool
    """Whether the plan comes from a lock."""
    architecture: ModelArchitecture
    """Architecture of the spec's model."""
    catalog: Catalog
    """The catalog without negotiated prices: stacks and launch scripts need its facts only. If an overlay has added the
    region or the type of the plan, its facts are in this catalog too."""
    priced_catalog: Callable[[], Catalog]
    """Returns the catalog with the negotiated prices of the spec and of the caller.

    The price files are read at the first call, so that a lock can be synthesized without them.
    """


def plan_specs(spec_paths: Sequence[Path], catalog: Catalog, overlay: Path | None = None) -> tuple[PlannedSpec, ...]:
    """Reads and plans every spec; a locked plan is used without planning again.

    Args:
        spec_paths: Paths of specs with different names.
        catalog: Facts and prices.
        overlay: File with negotiated prices that replace those of the catalog and of each spec.

    Raises:
        SpecError: a spec is invalid, two clusters share a name, or a lock does not match its spec.
        CatalogError: the catalog lacks something that a spec names.
        InfeasibleError: no cluster meets a spec.
        OSError: a file cannot be read.
    """
    planned: dict[str, PlannedSpec] = {}
    for path in spec_paths:
        loaded = load_spec(path)
        name = loaded.spec.name
        if name in planned:
            raise SpecError(
                f"name: both {planned[name].path} and {path} are named {name!r}; "
                "stacks and state are named after it, so rename one of them"
            )
        locked = read_lock(path, loaded, catalog)
        priced = cache(partial(_priced, loaded, catalog, overlay))
        plan = locked or _decide(loaded, priced())
        facts = catalog if _holds_facts_of(plan, catalog) else priced()
        planned[name] = PlannedSpec(path, plan, locked is not None, loaded.architecture, facts, priced)
    return tuple(planned.values())


def _holds_facts_of(plan: Plan, catalog: Catalog) -> bool:
    """Returns whether the catalog knows region and instance type of a plan; an overlay may have added them."""
    choice = plan.choice
    if choice.provider not in catalog.providers:
        return True
    known = (choice.provider, choice.instance_type) in catalog.instance_types
    return known and choice.region in catalog.provider_defaults(choice.provider).default_zones


def _priced(loaded: LoadedSpec, catalog: Catalog, overlay: Path | None) -> Catalog:
    try:
        return priced_catalog(catalog, loaded, overlay)
    except SpecError as error:
        raise SpecError(f"{loaded.path}: {error}") from error


def _decide(loaded: LoadedSpec, catalog: Catalog) -> Plan:
    """Plans one of several specs; error messages name its file."""
    try:
        return make_plan(loaded.spec, loaded.architecture, catalog)
    except (SpecError, CatalogError) as error:
        raise SpecError(f"{loaded.path}: {error}") from error
    except InfeasibleError as error:
        raise InfeasibleError(f"{loaded.path}: {error}", error.nearest) from error
