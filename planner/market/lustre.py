"""Checks the Lustre options of a spec against the SKU of the file system and the nodes that mount it."""

from planner.errors import SpecError
from planner.spec import Lustre
from provider_catalog.hardware import NodeTopology
from provider_catalog.storage import EfaClients, FileSystemSku


def check_lustre(lustre: Lustre, system: FileSystemSku) -> None:
    """Refuses options that the SKU does not support.

    Raises:
        SpecError: the spec sets an option that this deployment type or this cloud does not support.
    """
    for name, field in Lustre.model_fields.items():
        if getattr(lustre, name) != field.default and name not in system.options:
            allowed = ", ".join(system.options) or "none of storage.lustre"
            raise SpecError(
                f"storage.lustre.{name}: not supported by {system.sku}, which supports {allowed}. Leave it out, or "
                "name another file system in storage.shared_sku"
            )


def no_efa_client(lustre: Lustre, system: FileSystemSku, instance_type: str, node: NodeTopology) -> str | None:
    """Returns why nodes of a type cannot mount the file system over EFA; None when they can or need not."""
    if not lustre.efa:
        return None
    family = instance_type.split(".")[0]
    if node.fabric == "efa" and family not in system.efa_not_from:
        return None
    return f"cannot mount {system.sku} over EFA, which storage.lustre.efa requires"


def too_many_efa_clients(clients: EfaClients, instance_type: str, cards: int, nodes: int) -> str | None:
    """Why a file system cannot serve that many nodes over EFA; None when it can."""
    most = clients.most_clients(instance_type, cards)
    if nodes <= most:
        return None
    each = clients.interfaces_of(instance_type, cards)
    return (
        f"with {each} EFA interfaces makes {nodes * each:,} connections on {nodes:,} nodes, and a file system accepts "
        f'{clients.connections:,} (FSx for Lustre guide, "Configuring EFA clients"); use at most {most:,} nodes'
    )
