"""The parts of a launch: commands for the nodes of a gang, the files that they read, and notes for the operator."""

from pydantic import Field

from planner.plan.base import PlanModel
from planner.plan.plan import Plan
from provider_catalog.collective_environment import Variable

HEAD = "${HEAD_ADDRESS}"
"""Address of the node with rank 0 of the gang; the operator sets it."""
NODE_RANK = "${NODE_RANK}"
"""Rank of the node in its gang; the operator sets it."""
MODEL_PATH = "${MODEL_PATH}"
"""Path of a checkpoint on the node, used where no published checkpoint fits the plan."""
ROLE = "${ROLE}"
"""Role of the servers on a node of a disaggregated fleet: prefill or decode."""
LISTEN = "${LISTEN_ADDRESS:-127.0.0.1}"
"""Address on which servers listen; the loopback address by default."""
FIRST_PORT = 8000
"""Port of the first server on a node."""


class Command(PlanModel):
    """One process of one node."""

    node_rank: int | None
    """Rank of the node within its gang; None: every node runs the command, with its own NODE_RANK."""
    argv: tuple[str, ...]
    environment: dict[str, str] = Field(default_factory=dict)


class Launch(PlanModel):
    """The launch of one gang of nodes; all gangs are alike."""

    engine: str
    version: str
    flags_from: str
    """Documentation of the flags."""
    nodes: int
    nodes_per_gang: int
    replicas_per_gang: int
    """Servers on one node; 1 where a replica takes one node or several."""
    commands: tuple[Command, ...]
    files: dict[str, str] = Field(default_factory=dict)
    """Content of the files beside the script, by name."""
    environment: tuple[Variable, ...] = ()
    """Default environment variables of every process, each with its reason; the operator may override them."""
    notes: tuple[str, ...] = ()
    meanings: dict[str, str] = Field(default_factory=dict, exclude_if=lambda meanings: not meanings)
    """Meaning of operator variables where it differs from the usual one (`script.VARIABLES`), by name."""


def fabric_environment(plan: Plan) -> tuple[Variable, ...]:
    """Return the environment variables that the network needs; none where no GPUs communicate."""
    topology = plan.topology
    if topology is None or not topology.groups:
        return ()
    return tuple(entry for entry in topology.environment if entry.value is not None)


def flags(**given: object) -> tuple[str, ...]:
    """Return command arguments: `tensor_parallel_size=8` becomes `--tensor-parallel-size 8`.

    True becomes a flag without a value; False and None are left out.
    """
    return _arguments({name.replace("_", "-"): value for name, value in given.items()})


def flags_as_spelt(**given: object) -> tuple[str, ...]:
    """Return command arguments for engines that spell their flags with underscores."""
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
