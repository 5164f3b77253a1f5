"""Re-evaluates the shortlist of a serving search with measured kernel times."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from planner.cost.priced import Priced
from planner.engine.candidate import Candidate, NearMiss
from planner.market.machines import Machine
from planner.serving.engine import InferenceEngine
from planner.serving.silicon import SILICON, UnsupportedError, installed

SHORTLIST = 8
"""Number of clusters that are timed again; each takes some tenths of a second."""


@dataclass(frozen=True, slots=True)
class RefinedShortlist:
    """The shortlist after measured kernels have timed it."""

    served: list[Priced]
    missed: list[tuple[Priced, NearMiss]]
    """Options that miss the SLO with measured kernel times."""
    notes: tuple[str, ...]


def wants_measured_kernels(engine: object) -> bool:
    """Returns whether the spec asks for measured kernels; `auto` does if the package is installed."""
    if not isinstance(engine, InferenceEngine):
        return False
    return engine.workload.engine == "silicon" or (engine.workload.engine == "auto" and installed())


def refine(
    ranked: Sequence[Priced], engine: InferenceEngine, price: Callable[[Machine, Candidate], Priced]
) -> RefinedShortlist:
    """Times the first options of `ranked` with measured kernels; options without measurements keep analytic numbers."""
    refined, kept, missed = [], [], []
    reasons: dict[str, str] = {}
    for option in ranked[:SHORTLIST]:
        machine = option.machine
        try:
            found = engine.refined(option.candidate, machine.node, machine.max_nodes)
        except UnsupportedError as error:
            reasons.setdefault(
                str(error), f"{machine.name} with {option.candidate.layout.gpus_per_replica} GPUs a replica"
            )
            kept.append(option)
            continue
        if isinstance(found, NearMiss):
            missed.append((option, found))
        else:
            refined.append(price(machine, found))
    notes = [f"the analytic engine replaces {SILICON} for {what}: {reason}" for reason, what in reasons.items()]
    if refined:
        notes.insert(0, f"{len(refined)} of {min(len(ranked), SHORTLIST)} shortlisted clusters are timed by {SILICON}")
    served = sorted([*refined, *kept, *ranked[SHORTLIST:]], key=lambda priced: priced.rank)
    return RefinedShortlist(served, missed, tuple(notes))
