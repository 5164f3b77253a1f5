"""What a plan needs of an account, as preflight checks it."""

from typing import Final

from planner.errors import SpecError
from planner.market.place import place_of
from planner.plan.plan import Plan
from planner.search.quotas import needed_quotas
from planner.spec import OwnReservation
from provider_catalog.catalog import Catalog
from provider_catalog.live.preflight import BY_NAME, QuotaNeed, Wanted

ELASTIC_IPS: Final = ("ec2", "L-0263D0A3", "EC2-VPC Elastic IPs")
INTERFACES: Final = ("vpc", "L-DF5E4CA3", "Network interfaces per Region")
"""Service, code and name of quotas (AWS General Reference, "Amazon VPC endpoints and quotas")."""


def wanted_of(plan: Plan, catalog: Catalog, image_parameter: str | None = None) -> Wanted:
    """Returns what the plan needs of an account.

    Args:
        plan: A plan on a cloud.
        catalog: The catalog that it was made with.
        image_parameter: Public parameter of the image of plain nodes; None where the cloud has none.

    Raises:
        SpecError: the nodes are on premises.
    """
    choice, spec = plan.choice, plan.spec
    place = place_of(choice.provider, catalog)
    sold = place.instance_type(choice.instance_type)
    if sold is None:
        raise SpecError(f"{plan.name}: on-premises nodes (pin.node) need nothing of an account")
    purchase, block, own = choice.purchase, spec.capacity.block, spec.capacity.reservation
    held = own.id if isinstance(own, OwnReservation) else None if block is None else block.reservation_id
    needs = [
        QuotaNeed("ec2", quota.code, quota.name, quota.vcpus, "vCPUs")
        for quota in needed_quotas(purchase, place, choice.instance_type)
    ]
    if choice.provider == "aws":
        needs += _aws_needs(plan, sold.network_cards)
    state = spec.state
    return Wanted(
        provider=choice.provider,
        region=choice.region,
        zone=choice.zone,
        instance_type=choice.instance_type,
        nodes=choice.nodes,
        vcpus=sold.vcpus,
        spot_nodes=purchase.spot_nodes,
        reserved_nodes=purchase.reserved_nodes,
        quotas=tuple(needs),
        block=None
        if block is None or block.reservation_id is not None
        else (block.start, block.days, purchase.capacity_block_instances),
        # An image of the user's own takes the place of the one that the parameter names.
        image_parameter=image_parameter if spec.orchestrator == "none" and spec.image_id is None else None,
        state_bucket=(state.bucket, state.region) if state.backend == "s3" and state.bucket and state.region else None,
        subnet_id=spec.network.subnet_id,
        ephemeral_root_disk=choice.root_disk == "ephemeral" and choice.provider == "azure",
        reservation_id=held,
        reservation_field="capacity.block.reservation_id" if block else "capacity.reservation.id",
    )


def _aws_needs(plan: Plan, network_cards: int) -> list[QuotaNeed]:
    choice, spec = plan.choice, plan.spec
    needs = [QuotaNeed(*INTERFACES, float(choice.nodes * network_cards), "interfaces")]
    if spec.network.vpc_id is None and spec.network.egress == "nat":
        needs.append(QuotaNeed(*ELASTIC_IPS, 1.0, "addresses"))
    storage = choice.shared_storage
    if storage is not None:
        parts = f"{BY_NAME}lustre|{storage.deployment_type}|storage capacity"
        name = f"FSx for Lustre {storage.deployment_type} capacity"
        needs.append(QuotaNeed("fsx", parts, name, float(storage.size_gib), "GiB"))
    return needs
