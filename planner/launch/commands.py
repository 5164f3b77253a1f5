"""What a launch consists of: a command for each node of a gang, files they read, notes for whoever runs them."""

from pydantic import Field

from planner.plan.base import PlanModel
from planner.plan.plan import Plan
from provider_catalog.collective_environment import Variable

HEAD = "${HEAD_ADDRESS}"
"""Address of the node with rank 0 of the gang; set by whoever runs the script."""
NODE_RANK = "${NODE_RANK}"
MODEL_PATH = "${MODEL_PATH}"
"""Checkpoint on the node, where no published one fits the plan."""
ROLE = "${ROLE}"
"""What the servers of a node do in a disaggregated fleet: prefill or decode."""
LISTEN = "${LISTEN_ADDRESS:-127.0.0.1}"
"""Servers listen on the loopback address unless told otherwise."""
FIRST_PORT = 8000


class Command(PlanModel):
    """One process of one node."""

    node_rank: int | None
    """Of the node within its gang; None: every node runs it, NODE_RANK says which it is."""
    argv: tuple[str, ...]
    environment: dict[str, str] = Field(default_factory=dict)


class Launch(PlanModel):
    """How every gang of nodes is started. All gangs are alike."""

    engine: str
    version: str
    flags_from: str
    """Where the flags are documented."""
    nodes: int
    nodes_per_gang: int
    replicas_per_gang: int
    """Servers side by side on one node; 1 where a replica takes nodes of its own."""
    commands: tuple[Command, ...]
    files: dict[str, str] = Field(default_factory=dict)
    """Content by name, beside the script."""
    environment: tuple[Variable, ...] = ()
    """Of every process, unless whoever runs the script has set it otherwise; each variable with its reason."""
    notes: tuple[str, ...] = ()


def fabric_environment(plan: Plan) -> tuple[Variable, ...]:
    """What the fabric of the plan's nodes wants of every process; nothing where no two GPUs talk."""
    topology = plan.topology
    if topology is None or not topology.groups:
        return ()
    return tuple(entry for entry in topology.environment if entry.value is not None)


def flags(**given: object) -> tuple[str, ...]:
    """Arguments of a command: `tensor_parallel_size=8` is `--tensor-parallel-size 8`.

    True leaves a switch, False and None leave nothing.
    """
    return _arguments({name.replace("_", "-"): value for name, value in given.items()})


def flags_as_spelt(**given: object) -> tuple[str, ...]:
    """The same for engines that spell their flags with underscores."""
    return _arguments(given)


def _arguments(given: dict[str, object]) -> tuple[str, ...]:
    arguments: list[str] = []
    for name, value in given.items():
        if value is None or value is False:
            continue
        arguments.append(f"--{name}")
        if value is not True:
            arguments.append(str(value))
    return tuple(arguments)
