"""The topology part of a plan, from what the search decided."""

from planner.candidate import Candidate, Engine
from planner.machines import OWN, Machine
from planner.plan import TrainingPerformance
from planner.topology.model import Topology
from planner.topology.placement import serving_topology, training_topology
from planner.training import TrainingEngine
from planner.training.volume import step_bytes
from provider_catalog.catalog import Catalog
from provider_catalog.collective_environment import Variable


def topology_of(engine: Engine, machine: Machine, candidate: Candidate, catalog: Catalog) -> Topology:
    """Where the groups of `candidate` lie on nodes of `machine`, and the environment that their fabric wants.

    Args:
        engine: the engine that found the candidate.
        machine: the nodes.
        candidate: the layout.
        catalog: holds what is known of the nodes' wiring.
    """
    network = "one's own network: not described"
    environment: tuple[Variable, ...] = ()
    if machine.provider != OWN:
        instance_type = catalog.instance_type(machine.provider, machine.name)
        known = catalog.fabric_wiring(instance_type)
        network = f"{known.note} ({known.source})" if known else "nothing is published"
        environment = catalog.collectives(instance_type)
    layout, node = candidate.layout, machine.node
    if isinstance(engine, TrainingEngine) and isinstance(candidate.performance, TrainingPerformance):
        micro_batches = -(-engine.batch_sequences // (layout.data * layout.micro_batch))
        sent = step_bytes(engine.step_model(node), layout, micro_batches)
        return training_topology(layout, node, network, environment, sent, candidate.performance.breakdown_s)
    return serving_topology(layout, node, network, environment)
