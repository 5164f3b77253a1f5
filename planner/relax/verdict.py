"""Checks whether a plan meets its spec. Only pins can make a plan miss it; a free search returns none that does."""

from planner.plan.performance import InferencePerformance, TrainingPerformance
from planner.plan.plan import Plan
from planner.serving.slo import slo_lines
from planner.spec import InferenceWorkload, TrainingWorkload


def meets_spec(plan: Plan) -> bool:
    """Returns whether a plan fits its memory and meets the SLO, or the deadline when training."""
    return fits_memory(plan) and _in_time(plan)


def fits_memory(plan: Plan) -> bool:
    """Returns whether a plan fits its memory."""
    return plan.memory_per_gpu.total_bytes <= plan.memory_per_gpu.capacity_bytes


def _in_time(plan: Plan) -> bool:
    performance, workload = plan.performance, plan.spec.workload
    if isinstance(performance, InferencePerformance) and isinstance(workload, InferenceWorkload):
        return all(line.holds for line in slo_lines(performance, workload.slo))
    if isinstance(performance, TrainingPerformance) and isinstance(workload, TrainingWorkload):
        return performance.days <= workload.deadline_days
    return True
