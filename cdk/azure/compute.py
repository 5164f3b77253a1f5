"""GPU nodes: one scale set for each purchase kind, so that a gang is in one placement group on one InfiniBand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

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

from cdk.azure.resource_names import computer_name_prefix
from cdk.azure.sizes import VmSize
from cdk.naming import named
from provider_catalog.purchase_kinds import PurchaseKind, slug

SINGLE_PLACEMENT_GROUP_MAX: Final = 100
"""VMs in one placement group (azurerm documentation, single_placement_group); InfiniBand reaches no further."""

SCALE_SET_MAX: Final = 1000
"""VMs in a scale set of marketplace images (learn.microsoft.com, Virtual Machine Scale Sets and placement groups)."""

CUSTOM_DATA_LIMIT_BYTES: Final = 65535
"""Largest base64 text of user data (Compute REST API, OSProfile.customData)."""

ADMIN_USER: Final = "azureuser"


@dataclass(frozen=True)
class NodeConfig:
    """Settings of a node, whatever its purchase kind."""

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
    """Whether the OS disk is on the host's own disk, which is free and is lost with the node."""
    reservable: bool
    """Whether on-demand capacity of the type can be reserved."""
    gang: bool
    """Whether nodes of a set work together over InfiniBand, for which they must share a placement group."""
    user_data: str
    """Cloud-init text; it may hold Terraform tokens."""
    tags: Mapping[str, str]


@dataclass(frozen=True)
class NodeSet:
    """Nodes of one purchase kind."""

    scale_set: LinuxVirtualMachineScaleSet
    reservation: CapacityReservation | None


@dataclass(frozen=True)
class _Shared:
    """Arguments that all scale sets have in common."""

    identity: UserAssignedIdentity
    may_use_checkpoints: RoleAssignment
    ssh_public_key: str
    image_version: str
    custom_data: str


def node_sets(scope: Construct, config: NodeConfig, nodes: Mapping[PurchaseKind, int]) -> dict[PurchaseKind, NodeSet]:
    """Adds the identity of the nodes, and a scale set for every kind of which `nodes` has some.

    Raises:
        ValueError: a set is too large, the user data is too long, or the capacity cannot be reserved.
    """
    bought = {kind: count for kind, count in nodes.items() if count}
    for kind, count in bought.items():
        _check(config, kind, count)
    identity, may_use_checkpoints = _identity(scope, config)
    shared = _Shared(
        identity=identity,
        may_use_checkpoints=may_use_checkpoints,
        ssh_public_key=_ssh_public_key(scope),
        image_version=_image_version(scope),
        custom_data=_custom_data(scope, config.user_data),
    )
    return {kind: _node_set(scope, config, shared, kind, count) for kind, count in bought.items()}


def _check(config: NodeConfig, kind: PurchaseKind, count: int) -> None:
    """Refuses what Azure refuses, or would not do as planned (rules Z1 and Z2)."""
    limit = SINGLE_PLACEMENT_GROUP_MAX if config.gang else SCALE_SET_MAX
    if count > limit:
        where = "one placement group, which is one InfiniBand network," if config.gang else "a scale set"
        raise ValueError(
            f"{count} {slug(kind)} nodes do not fit: {where} holds at most {limit} VMs. "
            f"Set placement.max_nodes to {limit}, or choose larger instances in placement.instance_types"
        )
    if kind == "reserved" and config.gang:
        raise ValueError(
            f"{count} reserved nodes cannot work together over InfiniBand on Azure: a capacity reservation group needs "
            "single_placement_group = false, and InfiniBand needs it to be true. Set capacity.reservation to none; a "
            "committed price (reservation or savings plan) still applies to the on-demand nodes"
        )
    if kind == "reserved" and not config.reservable:
        raise ValueError(
            f"Azure has no on-demand capacity reservation for {config.instance_type} (the supported series are in "
            "learn.microsoft.com, On-demand capacity reservation). Set capacity.reservation to none"
        )
    if kind == "reserved" and config.zone is None:
        raise ValueError(
            "placement.zone: none given, but GPU sizes can be reserved in a zone only; give a zone number such as 1"
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
    # Azure refuses a Linux scale set that has neither password nor key. There is no default, because it would let the
    # owner of that key in.
    variable = TerraformVariable(
        scope,
        "ssh_public_key",
        type="string",
        nullable=False,
        description=(
            f"OpenSSH public key of {ADMIN_USER}: RSA of at least 2048 bits, or Ed25519. Nodes have no public address: "
            "the key works from inside the network only, through Azure Bastion or a peered network"
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
            "latest is resolved whenever a node starts; give a version, such as 22.04.2024102301, to run the same "
            "drivers on every node for the life of a gang"
        ),
    )
    return variable.string_value


def _custom_data(scope: Construct, text: str) -> str:
    # Base64 turns 3 bytes into 4 characters. A local keeps the text readable in the HCL.
    size_bytes = -(-len(text.encode()) // 3) * 4
    if size_bytes > CUSTOM_DATA_LIMIT_BYTES:
        raise ValueError(
            f"user data has {size_bytes} bytes in base64; Azure takes {CUSTOM_DATA_LIMIT_BYTES}. Shorten the scripts"
        )
    return Fn.base64encode(TerraformLocal(scope, "user_data", text).as_string)


def _node_set(scope: Construct, config: NodeConfig, shared: _Shared, kind: PurchaseKind, count: int) -> NodeSet:
    group, reservation = _reservation(scope, config, count) if kind == "reserved" else (None, None)
    spot = kind == "spot"
    scale_set = LinuxVirtualMachineScaleSet(
        scope,
        kind,
        name=f"vmss-{config.cluster}-{slug(kind)}",
        computer_name_prefix=computer_name_prefix(config.cluster, kind),
        resource_group_name=config.resource_group_name,
        location=config.region,
        zones=None if config.zone is None else [config.zone],
        sku=config.instance_type,
        instances=count,
        # Overprovisioning deletes surplus nodes once enough have started, which would break the ranks of a gang.
        overprovision=False,
        single_placement_group=config.gang,
        # 1 lets Azure spread the nodes as it likes. In one zone the only other value is 5, which no gang needs.
        platform_fault_domain_count=1,
        upgrade_mode="Manual",
        capacity_reservation_group_id=None if group is None else group.id,
        priority="Spot" if spot else "Regular",
        # Deallocated nodes would keep their quota, and a node with an ephemeral OS disk cannot be deallocated.
        eviction_policy="Delete" if spot else None,
        # -1 bids up to the on-demand price: nodes are evicted for lack of capacity only, never for the price.
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
        # Empty: Azure keeps the diagnostics in managed storage.
        boot_diagnostics=LinuxVirtualMachineScaleSetBootDiagnostics(),
        tags=dict(config.tags),
        # The set refers to the identity and to the reservation group only. Without this, nodes could start before they
        # may read checkpoints or before capacity is reserved, and could lose that right while they save their work.
        depends_on=[shared.may_use_checkpoints, *([] if reservation is None else [reservation])],
    )
    return NodeSet(scale_set, reservation)


def _os_disk(config: NodeConfig) -> LinuxVirtualMachineScaleSetOsDisk:
    if config.os_disk_is_ephemeral:
        # Azure requires read-only caching and the standard storage type for ephemeral disks.
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
