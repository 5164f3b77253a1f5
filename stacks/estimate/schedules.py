"""Numbers of nodes over a week, from the scheduled actions of an Auto Scaling group."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from stacks.estimate.documents import Resource, Resources

KIND: Final = "aws_autoscaling_schedule"
DAY_MIN: Final = 24 * 60
WEEK_MIN: Final = 7 * DAY_MIN
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_RANGES: Final = {"minute": 60, "hour": 24, "day of the week": 7}


class NotWeeklyError(ValueError):
    """Scheduled actions from which no number of nodes over a week follows; the message says why."""


@dataclass(frozen=True)
class Level:
    """A number of nodes, and the share of the week for which it runs."""

    nodes: float
    share: float


def levels(group: Resource, resources: Resources) -> tuple[Level, ...]:
    """The numbers of nodes of a group over a week; empty where no scheduled action recurs.

    Args:
        group: An Auto Scaling group, or an EKS node group, which has one.
        resources: All resources, with the scheduled actions.

    Raises:
        NotWeeklyError: an action does not recur by the week, or does not set the number of nodes.
    """
    at: dict[int, float] = {}
    for action in _actions(group, resources):
        # -1 leaves a number as it is; a group has at least its minimum.
        given = (action.number("desired_capacity"), action.number("min_size"))
        nodes = next((number for number in given if number is not None and number >= 0), None)
        if nodes is None:
            raise NotWeeklyError(f"{action.address} sets no number of nodes")
        for minute in _minutes(action.text("recurrence"), action.address):
            if at.setdefault(minute, nodes) != nodes:
                raise NotWeeklyError(f"{action.address}: another action sets another number at the same time")
    if not at:
        return ()
    times = sorted(at)
    ends = [*(later for _, later in pairwise(times)), times[0] + WEEK_MIN]
    return tuple(Level(at[time], (end - time) / WEEK_MIN) for time, end in zip(times, ends, strict=True))


def _actions(group: Resource, resources: Resources) -> Iterator[Resource]:
    """The recurring actions of a group. A state has no references to the Auto Scaling group of a node group."""
    named = [each for block in group.blocks("resources") for each in block.get("autoscaling_groups") or []]
    names = {str(each.get("name")) for each in named if isinstance(each, dict)}
    for each in resources.all:
        if each.kind == KIND and each.stack == group.stack and each.text("recurrence"):
            linked = resources.linked(each, group.kind)
            if linked is group or (linked is None and each.text("autoscaling_group_name") in names):
                yield each


def _minutes(recurrence: str, address: str) -> Iterator[int]:
    """The minutes of the week, from Sunday at 0 h, at which a cron expression holds."""
    fields = recurrence.split()
    if len(fields) != 5 or fields[2:4] != ["*", "*"]:
        raise NotWeeklyError(f"{address}: recurrence {recurrence} is not weekly")
    minutes, hours, days = (
        _numbers(text, name, address) for text, name in zip((*fields[:2], fields[4]), _RANGES, strict=True)
    )
    for day in days:
        for hour in hours:
            yield from (day * DAY_MIN + hour * 60 + minute for minute in minutes)


def _numbers(text: str, name: str, address: str) -> list[int]:
    """The numbers that a field of a cron expression stands for, such as 0,15 or 1-5 or */10."""
    size = _RANGES[name]
    found: set[int] = set()
    if name == "day of the week":
        text = re.sub("|".join(_DAYS), lambda day: str(_DAYS.index(day.group().upper())), text, flags=re.IGNORECASE)
    for part in text.split(","):
        match = re.fullmatch(r"(?:(\d+)(?:-(\d+))?|\*)(?:/(\d+))?", part)
        if match is None:
            raise NotWeeklyError(f"{address}: {part} is not a valid {name} of a cron expression")
        first, last, step = match.groups()
        start = int(first or 0)
        end = int(last) if last else (start if first and not step else size - 1)
        # Sunday is 0 and 7.
        most = size if name == "day of the week" else size - 1
        if not 0 <= start <= end <= most or step == "0":
            raise NotWeeklyError(f"{address}: {part} is not a valid {name} of a cron expression")
        found |= {number % size for number in range(start, end + 1, int(step or 1))}
    return sorted(found)
