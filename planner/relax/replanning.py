"""Planning again with one thing changed: how what would help is found, for serving and for training."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context, Decimal
from functools import cached_property
from math import sqrt
from typing import Any

from planner.errors import InfeasibleError, SpecError
from planner.market.place import place_of
from planner.plan.plan import Plan
from planner.relax.verdict import meets_spec
from planner.search.optimizer import fastest_days, plan
from planner.spec import ClusterSpec
from planner.spec.reader import read_spec
from planner.training.step_cache import StepCache
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.facts import CatalogError

PlanAt = Callable[[float, Plan | None], Plan | None]
"""The plan at a value, among the types of another plan; None where it does not hold."""


@dataclass(frozen=True)
class Replanner:
    """Plans variations of one spec.

    Attributes:
        spec: Which no plan keeps.
        architecture: Of its model.
        catalog: What is on sale.
        precision: Ratio to which bounds are found.
        step_cache: What all of them share.
    """

    spec: ClusterSpec
    architecture: ModelArchitecture
    catalog: Catalog
    precision: float
    step_cache: StepCache = field(default_factory=StepCache)

    @cached_property
    def fastest_days(self) -> float | None:
        """Days of the fastest run of the spec, whatever it costs; None where none is known."""
        try:
            return fastest_days(self.spec, self.architecture, self.catalog, self.step_cache)
        except (SpecError, CatalogError):
            return None

    def planned(self, among: Plan | None = None, **changes: dict[str, Any] | None) -> Plan | None:
        """The plan when some fields are changed; None when it still does not hold.

        Args:
            among: Only the instance types of this plan and its alternatives are tried: what holds under stricter terms
                held under looser ones.
            changes: Fields by part of the spec; a part given as None is left out.
        """
        document = self.spec.model_dump(mode="json", exclude_unset=True)
        if among is not None and not place_of(among.choice.provider, self.catalog).owned:
            others = (other.instance_type for other in among.alternatives)
            types = {among.choice.instance_type, *others}
            document["placement"] = {**document.get("placement", {}), "instance_types": sorted(types)}
        for part, fields in changes.items():
            document[part] = {} if fields is None else {**document.get(part, {}), **fields}
        try:
            spec = read_spec(document, "replanned spec")
            decided = plan(spec, self.architecture, self.catalog, step_cache=self.step_cache, wants_nearest=False)
        except (InfeasibleError, SpecError, CatalogError):
            return None
        return decided if meets_spec(decided) else None

    def lowest_feasible(
        self, attempt: PlanAt, low: float, high: float, bound: Callable[[Plan], float]
    ) -> tuple[float, Plan] | None:
        """The least value above `low` that holds, to three digits and never below; None where not even `high` does.

        What a plan predicts (`bound`) is a bound as well: it holds there.
        """
        decided = attempt(high, None)
        if decided is None:
            return None
        high = min(high, bound(decided))
        while high > low * self.precision:
            middle = three_digits(sqrt(low * high), ROUND_CEILING)
            found = attempt(middle, decided) if middle < high else None
            if found is None:
                low = middle
            else:
                high, decided = min(middle, bound(found)), found
        return high, decided

    def highest_feasible(self, attempt: PlanAt, low: float, high: float, decided: Plan) -> tuple[float, Plan]:
        """The greatest value below `high` that holds; `decided` is the plan at `low`."""
        while high > low * self.precision:
            middle = sqrt(low * high)
            found = attempt(middle, decided)
            if found is None:
                high = middle
            else:
                low, decided = middle, found
        return low, decided


def three_digits(value: float, rounding: str) -> float:
    """A value to three significant digits, rounded as `decimal` names it."""
    return float(Context(prec=3, rounding=rounding).create_decimal(Decimal(value)))
