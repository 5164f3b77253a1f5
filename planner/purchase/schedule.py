"""Weekly schedule of a serving fleet: how many nodes run at each minute, as scheduled actions bring it about.

The bill counts what the schedule runs, and the stacks build the same schedule, so that the two cannot differ.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import ceil, gcd
from typing import Final

from planner.plan.choice import ScheduledAction
from planner.reliability.recovery import SERVING_RESTART_S

WEEK_HOURS: Final = 168
DAY_MIN: Final = 24 * 60
WEEK_MIN: Final = WEEK_HOURS * 60
LEAD_MIN: Final = ceil(SERVING_RESTART_S / 60)
"""Minutes before an hour at which the nodes that it needs are started: as long as a node takes to serve."""
MOST_ACTIONS: Final = 125
"""Scheduled actions that an Auto Scaling group can have (Amazon EC2 Auto Scaling user guide, "Quotas")."""


@dataclass(frozen=True, slots=True)
class Step:
    """A number of nodes from one minute of the week on, until the next step. The week begins on Monday at 0 h."""

    minute: int
    nodes: int


@dataclass(frozen=True, slots=True)
class WeeklySchedule:
    """The steps of a week in order."""

    steps: tuple[Step, ...]
    """Empty where the number of nodes never changes."""
    first_nodes: int
    """Number of nodes on Monday at 0 h."""

    @property
    def least_nodes(self) -> int:
        """Smallest number of nodes in the week."""
        return min((step.nodes for step in self.steps), default=self.first_nodes)

    @property
    def mean_nodes(self) -> float:
        """Mean number of nodes over the week."""
        if not self.steps:
            return float(self.first_nodes)
        return sum(step.nodes * minutes for step, minutes in _lasting(self.steps)) / WEEK_MIN

    def actions(self) -> tuple[ScheduledAction, ...]:
        """The scheduled actions that make these steps, in the order of the week."""
        found = _by_time(self.steps)
        return tuple(ScheduledAction(recurrence=_recurrence(time, days), nodes=n) for (time, n), days in found.items())


@lru_cache(maxsize=256)
def week_of(fractions: tuple[float, ...], first_hour: int = 0) -> tuple[float, ...]:
    """Returns a demand profile as the 168 hours of a week from Monday at 0 h.

    A day is repeated. Of a year, every hour of the week gets its highest demand in the year, because scheduled actions
    recur by the week.

    Args:
        fractions: Hours of a day, a week or a year.
        first_hour: Hour of the week at which they begin.
    """
    if len(fractions) < WEEK_HOURS:
        fractions = (fractions * WEEK_HOURS)[:WEEK_HOURS]
    return tuple(max(fractions[(hour - first_hour) % WEEK_HOURS :: WEEK_HOURS]) for hour in range(WEEK_HOURS))


@lru_cache(maxsize=1024)
def hourly_units(week: tuple[float, ...], units: int, spare: int, least: int) -> tuple[int, ...]:
    """Returns the units that run in each hour of a week.

    Args:
        week: Demand of each hour as a fraction of the peak.
        units: Units of the whole fleet at the peak.
        spare: Units that run beyond the load at every hour.
        least: Units that run at every hour.
    """
    loaded = units - spare
    return tuple(min(units, max(least, ceil(fraction * loaded - 1e-9) + spare)) for fraction in week)


@lru_cache(maxsize=1024)
def units_with_lead(hourly: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the units that run in each quarter of an hour, or finer, where the next hour's are started before it."""
    slots = 60 // gcd(60, LEAD_MIN)
    early = LEAD_MIN * slots // 60
    return tuple(
        max(now, hourly[(hour + 1) % len(hourly)]) if slot >= slots - early else now
        for hour, now in enumerate(hourly)
        for slot in range(slots)
    )


@lru_cache(maxsize=1024)
def schedule_of(hourly: tuple[int, ...], below: int, units: int) -> WeeklySchedule:
    """Returns the schedule of the units above the first `below` ones, of which there are `units`.

    A step up comes `LEAD_MIN` minutes before its hour, so that the nodes serve when it begins. A schedule with more
    actions than an Auto Scaling group can have is made simpler; nodes then run longer than needed, never shorter.
    """
    wanted = [min(max(each - below, 0), units) for each in hourly]
    steps = []
    for hour, now in enumerate(wanted):
        before = wanted[hour - 1]
        if now != before:
            minute = hour * 60 - (LEAD_MIN if now > before else 0)
            steps.append(Step(minute % WEEK_MIN, now))
    steps.sort(key=lambda step: step.minute)
    while len(_by_time(steps)) > MOST_ACTIONS:
        steps = _simpler(steps)
    return WeeklySchedule(tuple(steps), steps[-1].nodes if steps else wanted[0])


def _lasting(steps: Sequence[Step]) -> list[tuple[Step, int]]:
    """Each step with the minutes until the next one; the last one lasts into the next week."""
    if not steps:
        return []
    ends = [*(after.minute for _, after in pairwise(steps)), steps[0].minute + WEEK_MIN]
    return [(step, end - step.minute) for step, end in zip(steps, ends, strict=True)]


def _simpler(steps: list[Step]) -> list[Step]:
    """Raises one step to a neighbour that runs more nodes: the step that costs the fewest node-minutes."""
    _, chosen, nodes = min(
        ((higher.nodes - step.nodes) * minutes, index, higher.nodes)
        for index, (step, minutes) in enumerate(_lasting(steps))
        for higher in (steps[index - 1], steps[(index + 1) % len(steps)])
        if higher.nodes > step.nodes
    )
    raised = [Step(step.minute, nodes if index == chosen else step.nodes) for index, step in enumerate(steps)]
    return [step for index, step in enumerate(raised) if step.nodes != raised[index - 1].nodes]


def _by_time(steps: Sequence[Step]) -> dict[tuple[int, int], list[int]]:
    """Days of the week, 0 for Monday, by minute of the day and number of nodes."""
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for step in steps:
        found[step.minute % DAY_MIN, step.nodes].append(step.minute // DAY_MIN)
    return found


def _recurrence(minute_of_day: int, days: Sequence[int]) -> str:
    """A cron expression. The days of cron are 0 for Sunday to 6 for Saturday."""
    hour, minute = divmod(minute_of_day, 60)
    cron_days = sorted((day + 1) % 7 for day in days)
    whole = len(cron_days) > 2 and cron_days[-1] - cron_days[0] == len(cron_days) - 1
    named = f"{cron_days[0]}-{cron_days[-1]}" if whole else ",".join(map(str, cron_days))
    return f"{minute} {hour} * * {'*' if len(cron_days) == 7 else named}"
