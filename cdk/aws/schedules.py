"""Scheduled actions, which start and stop the nodes of an Auto Scaling group at recurring times."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cdktf_cdktf_provider_aws.autoscaling_schedule import AutoscalingSchedule
from constructs import Construct

from cdk.aws.phases import running_nodes
from cdk.naming import named

DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""Days of the week in the order of cron."""


@dataclass(frozen=True)
class NodesAt:
    """A number of nodes from a recurring time on, until the next action."""

    recurrence: str
    """Cron expression."""
    nodes: int
    only_more: bool = False
    """Whether the action starts missing nodes and stops none, such as those that an update adds for a while."""


@dataclass(frozen=True)
class Schedule:
    """The scheduled actions of a group. Terraform ignores the counts of a group that has one."""

    actions: Sequence[NodesAt]
    time_zone: str | None = None
    """IANA time zone of the recurrences; None: UTC."""


def add_schedule(
    scope: Construct,
    schedule: Schedule,
    *,
    role: str,
    name: str,
    group_name: str,
    validating: int,
    keeps_least: bool,
) -> None:
    """Adds the scheduled actions of a group.

    Args:
        scope: Construct to which they are added.
        schedule: The actions.
        role: Role of the group in the HCL.
        name: Prefix of their names in AWS.
        group_name: Name of the Auto Scaling group.
        validating: Largest number of nodes in the phase `validate`; actions do not exceed it then.
        keeps_least: Whether the number of nodes is also the smallest one that a scaler may set until the next action.
    """
    for action in schedule.actions:
        when = _words(action.recurrence)
        nodes = running_nodes(action.nodes, min(action.nodes, validating), None)
        named(
            AutoscalingSchedule(
                scope,
                f"schedule-{when}",
                scheduled_action_name=f"{name}-{when}",
                autoscaling_group_name=group_name,
                recurrence=action.recurrence,
                time_zone=schedule.time_zone,
                # -1 leaves a number as it is. A group whose minimum rises starts the missing nodes.
                min_size=nodes if keeps_least else 0,
                max_size=-1,
                desired_capacity=-1 if action.only_more else nodes,
            ),
            f"{role}_{when.replace('-', '_')}",
        )


def _words(recurrence: str) -> str:
    """Name of a recurrence, such as 0745-mon-to-fri; it depends on the time alone, so that one change is one action."""
    minute, hour, _, _, days = recurrence.split()
    time = f"{int(hour):02}{int(minute):02}" if hour.isdigit() else f"hourly-{minute.replace(',', '-')}"
    named_days = re.sub(r"\d", lambda day: DAYS[int(day.group())], days).replace("-", "-to-").replace(",", "-")
    return time if days == "*" else f"{time}-{named_days}"
