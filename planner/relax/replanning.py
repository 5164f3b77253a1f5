"""Plans a spec again with one change; used to find feasible changes for serving and training."""

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
from provider_catalog.errors import CatalogError

PlanAt = Callable[[float, Plan | None], Plan | None]
"""Plans at a value, limited to the instance types of another plan; returns None if infeasible."""


@dataclass(frozen=True)
class Replanner:
    """Plans variations of one spec.

    Attributes:
        spec: The infeasible spec.
        architecture: Architecture of its model.
        catalog: The catalog with machines and prices.
        precision: Ratio to which bounds are found.
        step_cache: Step times that all plans share.
    """

    spec: ClusterSpec
    architecture: ModelArchitecture
    catalog: Catalog
    precision: float
    step_cache: StepCache = field(default_factory=StepCache)

    @cached_property
    def fastest_days(self) -> float | None:
        """Days of the fastest run of the spec at any cost; None if unknown."""
        try:
            return fastest_days(self.spec, self.architecture, self.catalog, self.step_cache)
        except (SpecError, CatalogError):
            return None

    def planned(self, among: Plan | None = None, **changes: dict[str, Any] | None) -> Plan | None:
        """Returns the plan with some fields changed; None if it is still infeasible.

        Args:
            among: A plan under looser constraints; only its instance types and those of its alternatives are tried,
                since no other type can be feasible under stricter ones.
            changes: Changed fields by section of the spec; a section given as None is left out.
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
        """Returns the lowest feasible value above `low`, rounded up to three digits; None if `high` is infeasible.

        The value that a plan predicts (`bound`) is feasible too, which shortens the search.
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
        """Returns the highest feasible value below `high`; `decided` is the plan at `low`."""
        while high > low * self.precision:
            middle = sqrt(low * high)
            found = attempt(middle, decided)
            if found is None:
                high = middle
            else:
                low, decided = middle, found
        return low, decided


def three_digits(value: float, rounding: str) -> float:
    """Rounds a value to three significant digits; `rounding` is a constant of `decimal`."""
    return float(Context(prec=3, rounding=rounding).create_decimal(Decimal(value)))
