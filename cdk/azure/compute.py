"""GPU nodes: one scale set for each way of buying, so that a gang sits in one placement group on one InfiniBand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from cdktf import Fn, TerraformLocal, TerraformVariable, TerraformVariableValidationConfig
from cdktf_cdktf_provider_azurerm.capacity_reservation import CapacityReservation, CapacityReservationSku
from cdktf_cdktf_provider_azurerm.capacity_reservation_group import CapacityReservationGroup
from cdktf_cdktf_provider_azurerm.linux_virtual_machine_scale_set import (
    LinuxVirtualMachineScaleSet,
    LinuxVirtualMachineScaleSetAdminSshKey,
    LinuxVirtualMachineScaleSetBootDiagnostics,
    LinuxVirtualMachineScaleSetIdentity,
    LinuxVirtualMachineScaleSetNetworkInterface,
    LinuxVirtualMachineScaleSetNetworkInterfaceIpConfiguration,
    LinuxVirtualMachineScaleSetOsDisk,
    LinuxVirtualMachineScaleSetOsDiskDiffDiskSettings,
    LinuxVirtualMachineScaleSetSourceImageReference,
)
from cdktf_cdktf_provider_azurerm.role_assignment import RoleAssignment
from cdktf_cdktf_provider_azurerm.user_assigned_identity import UserAssignedIdentity
from constructs import Construct

from cdk.azure.hcl import named
from cdk.azure.names import computer_name_prefix
from cdk.azure.sizes import VmSize

PurchaseOption = Literal["reserved", "on_demand", "spot"]

SINGLE_PLACEMENT_GROUP_MAX: Final = 100
"""VMs in one placement group (azurerm documentation, single_placement_group); InfiniBand reaches no further."""

SCALE_SET_MAX: Final = 1000
"""VMs in a scale set of marketplace images (learn.microsoft.com, Virtual Machine Scale Sets and placement groups)."""

CUSTOM_DATA_LIMIT_BYTES: Final = 65535
"""Of the base64 text (Compute REST API, OSProfile.customData)."""

ADMIN_USER: Final = "azureuser"


@dataclass(frozen=True)
class NodeConfig:
    """What a node is made of, whichever way it is bought."""

    cluster: str
    region: str
    zone: str | None
    resource_group_name: str
    subnet_id: str
    checkpoint_container_id: str
    instance_type: str
    size: VmSize
    os_disk_gib: int
    os_disk_is_ephemeral: bool
    """On the host's own disk, which costs nothing and does not outlive the node."""
    reservable: bool
    """Whether the type takes on-demand capacity reservations at all."""
    gang: bool
    """Whether nodes of a set work together over InfiniBand, which only one placement group gives them."""
    user_data: str
    """Cloud-init text; it may hold Terraform tokens."""
    tags: Mapping[str, str]


@dataclass(frozen=True)
class NodeSet:
    """Nodes that are bought the same way."""

    scale_set: LinuxVirtualMachineScaleSet
    reservation: CapacityReservation | None


@dataclass(frozen=True)
class _Shared:
    """What every scale set refers to."""

    identity: UserAssignedIdentity
    may_use_checkpoints: RoleAssignment
    ssh_public_key: str
    image_version: str
    custom_data: str


def node_sets(
    scope: Construct, config: NodeConfig, nodes: Mapping[PurchaseOption, int]
) -> dict[PurchaseOption, NodeSet]:
    """Adds the identity of the nodes and a scale set for each option in `nodes` that buys any.

    Raises:
        ValueError: a set is too large, the user data too long, or the size takes no capacity reservation.
    """
    bought = {option: count for option, count in nodes.items() if count}
    for option, count in bought.items():
        _check(config, option, count)
    identity, may_use_checkpoints = _identity(scope, config)
    shared = _Shared(
        identity=identity,
        may_use_checkpoints=may_use_checkpoints,
        ssh_public_key=_ssh_public_key(scope),
        image_version=_image_version(scope),
        custom_data=_custom_data(scope, config.user_data),
    )
    return {option: _node_set(scope, config, shared, option, count) for option, count in bought.items()}


def _check(config: NodeConfig, option: PurchaseOption, count: int) -> None:
    limit = SINGLE_PLACEMENT_GROUP_MAX if config.gang else SCALE_SET_MAX
    if count > limit:
        where = "one placement group, which is one InfiniBand network," if config.gang else "a scale set"
        raise ValueError(
            f"{count} {option.replace('_', '-')} nodes do not fit: {where} holds {limit} VMs (rule Z1). "
            f"Set placement.max_nodes to {limit}, or choose larger instances in placement.instance_types"
        )
    if option == "reserved" and config.gang:
        raise ValueError(
            f"{count} reserved nodes cannot work together over InfiniBand on Azure (rule Z2): a capacity reservation "
            "group needs single_placement_group = false, and InfiniBand needs it true. Set capacity.reservation to "
            "none; a committed price (reservation or savings plan) still applies to the on-demand nodes"
        )
    if option == "reserved" and not config.reservable:
        raise ValueError(
            f"{config.instance_type} takes no on-demand capacity reservation on Azure (rule Z2; supported series: "
            "learn.microsoft.com, On-demand capacity reservation). Set capacity.reservation to none"
        )
    if option == "reserved" and config.zone is None:
        raise ValueError(
            "placement.zone: none given, but GPU sizes are reserved in a zone only; give a zone number such as 1"
        )


def _identity(scope: Construct, config: NodeConfig) -> tuple[UserAssignedIdentity, RoleAssignment]:
    identity = UserAssignedIdentity(
        scope,
        "nodes",
        name=f"id-{config.cluster}-nodes",
        resource_group_name=config.resource_group_name,
        location=config.region,
        tags=dict(config.tags),
    )
    may_use_checkpoints = RoleAssignment(
        scope,
        "checkpoints",
        description="Nodes read and write checkpoints",
        scope=config.checkpoint_container_id,
        role_definition_name="Storage Blob Data Contributor",
        principal_id=identity.principal_id,
        principal_type="ServicePrincipal",
    )
    return identity, may_use_checkpoints


def _ssh_public_key(scope: Construct) -> str:
    # Azure refuses a Linux scale set with neither password nor key. A public key is no secret, but it is the team's
    # own: a default would be somebody's door.
    variable = TerraformVariable(
        scope,
        "ssh_public_key",
        type="string",
        nullable=False,
        description=(
            f"OpenSSH public key of {ADMIN_USER}: RSA of at least 2048 bits, or Ed25519. Nodes have no public address; "
            "the key is of use from inside the network only, through Azure Bastion or a peered network"
        ),
        validation=[
            TerraformVariableValidationConfig(
                condition='${can(regex("^(ssh-rsa|ssh-ed25519) ", var.ssh_public_key))}',
                error_message="ssh_public_key must be an OpenSSH public key: ssh-rsa ... or ssh-ed25519 ...",
            )
        ],
    )
    return variable.string_value


def _image_version(scope: Construct) -> str:
    variable = TerraformVariable(
        scope,
        "image_version",
        type="string",
        default="latest",
        nullable=False,
        description=(
            "Version of the Ubuntu HPC image (az vm image list --publisher microsoft-dsvm --offer ubuntu-hpc --all). "
            "latest is resolved whenever a node starts; name one, such as 22.04.2024102301, to run the same drivers "
            "on every node for the life of a gang"
        ),
    )
    return variable.string_value


def _custom_data(scope: Construct, text: str) -> str:
    # Base64 makes 4 characters of 3 bytes. A local, so that the text is readable in the HCL.
    size_bytes = -(-len(text.encode()) // 3) * 4
    if size_bytes > CUSTOM_DATA_LIMIT_BYTES:
        raise ValueError(
            f"user data has {size_bytes} bytes in base64, Azure takes {CUSTOM_DATA_LIMIT_BYTES}: shorten the scripts"
        )
    return Fn.base64encode(TerraformLocal(scope, "user_data", text).as_string)


def _node_set(scope: Construct, config: NodeConfig, shared: _Shared, option: PurchaseOption, count: int) -> NodeSet:
    group, reservation = _reservation(scope, config, count) if option == "reserved" else (None, None)
    spot = option == "spot"
    scale_set = LinuxVirtualMachineScaleSet(
        scope,
        option,
        name=f"vmss-{config.cluster}-{option.replace('_', '-')}",
        computer_name_prefix=computer_name_prefix(config.cluster, option),
        resource_group_name=config.resource_group_name,
        location=config.region,
        zones=None if config.zone is None else [config.zone],
        sku=config.instance_type,
        instances=count,
        # Extra nodes that are dropped once enough have started would break the ranks of a gang.
        overprovision=False,
        single_placement_group=config.gang,
        # Spread as widely as Azure likes: the only choice in one zone beside five domains, and no gang needs those.
        platform_fault_domain_count=1,
        upgrade_mode="Manual",
        capacity_reservation_group_id=None if group is None else group.id,
        priority="Spot" if spot else "Regular",
        # Deallocated nodes would hold quota, and an ephemeral OS disk cannot be deallocated at all.
        eviction_policy="Delete" if spot else None,
        # Up to the on-demand price: evicted for capacity only, never for price.
        max_bid_price=-1 if spot else None,
        source_image_reference=LinuxVirtualMachineScaleSetSourceImageReference(
            publisher="microsoft-dsvm", offer="ubuntu-hpc", sku=config.size.image_sku, version=shared.image_version
        ),
        os_disk=_os_disk(config),
        network_interface=[
            LinuxVirtualMachineScaleSetNetworkInterface(
                name="primary",
                primary=True,
                enable_accelerated_networking=True,
                ip_configuration=[
                    LinuxVirtualMachineScaleSetNetworkInterfaceIpConfiguration(
                        name="private", primary=True, subnet_id=config.subnet_id
                    )
                ],
            )
        ],
        identity=LinuxVirtualMachineScaleSetIdentity(type="UserAssigned", identity_ids=[shared.identity.id]),
        admin_username=ADMIN_USER,
        disable_password_authentication=True,
        admin_ssh_key=[LinuxVirtualMachineScaleSetAdminSshKey(username=ADMIN_USER, public_key=shared.ssh_public_key)],
        custom_data=shared.custom_data,
        # Empty: kept in storage that Azure manages.
        boot_diagnostics=LinuxVirtualMachineScaleSetBootDiagnostics(),
        tags=dict(config.tags),
        # The set refers to the identity and to the group only. Without this nodes could start before they may read
        # their checkpoints or before anything is reserved, and lose that right while they still save their work.
        depends_on=[shared.may_use_checkpoints, *([] if reservation is None else [reservation])],
    )
    return NodeSet(scale_set, reservation)


def _os_disk(config: NodeConfig) -> LinuxVirtualMachineScaleSetOsDisk:
    if config.os_disk_is_ephemeral:
        # Ephemeral disks are cached read-only and, being no managed disks, take the plain storage type.
        return LinuxVirtualMachineScaleSetOsDisk(
            caching="ReadOnly",
            storage_account_type="Standard_LRS",
            disk_size_gb=config.os_disk_gib,
            diff_disk_settings=LinuxVirtualMachineScaleSetOsDiskDiffDiskSettings(option="Local"),
        )
    return LinuxVirtualMachineScaleSetOsDisk(
        caching="ReadWrite", storage_account_type="Premium_LRS", disk_size_gb=config.os_disk_gib
    )


def _reservation(
    scope: Construct, config: NodeConfig, count: int
) -> tuple[CapacityReservationGroup, CapacityReservation]:
    group = named(
        CapacityReservationGroup(
            scope,
            "reservation_group",
            name=f"crg-{config.cluster}",
            resource_group_name=config.resource_group_name,
            location=config.region,
            zones=None if config.zone is None else [config.zone],
            tags=dict(config.tags),
        ),
        "cluster",
    )
    reservation = named(
        CapacityReservation(
            scope,
            "reservation",
            name=f"cr-{config.cluster}",
            capacity_reservation_group_id=group.id,
            zone=config.zone,
            sku=CapacityReservationSku(name=config.instance_type, capacity=count),
            tags=dict(config.tags),
        ),
        "cluster",
    )
    return group, reservation
