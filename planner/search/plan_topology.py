"""Derives the topology of a plan from the chosen candidate."""

from planner.engine.candidate import Candidate, Engine
from planner.market.machines import Machine
from planner.plan.performance import TrainingPerformance
from planner.plan.topology import Topology
from planner.topology.placement import serving_topology, training_topology
from planner.training.communication_volume import step_bytes
from planner.training.engine import TrainingEngine


def topology_of(engine: Engine, machine: Machine, candidate: Candidate) -> Topology:
    """Returns the placement of the parallel groups on nodes, and the environment variables for their fabric.

    Args:
        engine: The engine that found the candidate.
        machine: The machine type of the nodes.
        candidate: The candidate with its layout.
    """
    network, environment = machine.place.network(machine.name)
    layout, node = candidate.layout, machine.node
    if isinstance(engine, TrainingEngine) and isinstance(candidate.performance, TrainingPerformance):
        micro_batches = -(-engine.batch_sequences // (layout.data * layout.micro_batch))
        sent = step_bytes(engine.step_model(node), layout, micro_batches)
        return training_topology(layout, node, network, environment, sent, candidate.performance.breakdown_s)
    return serving_topology(layout, node, network, environment)
