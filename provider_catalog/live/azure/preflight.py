"""Preflight checks on Azure with the sign-in of the Azure command line, through azure-mgmt-compute."""

from collections.abc import Iterable
from typing import Any, Final

from provider_catalog.live.azure import skus
from provider_catalog.live.azure.skus import as_live_error
from provider_catalog.live.live_source import Limits
from provider_catalog.live.preflight import Check, Checks, Wanted

ACTIONS: Final = {
    "identity": "Microsoft.Resources/subscriptions/read",
    "size": "Microsoft.Compute/skus/read",
    "quota": "Microsoft.Compute/locations/usages/read",
}
"""Action that each check needs; together they are the least role."""
QUOTA_PAGE: Final = "https://portal.azure.com/#view/Microsoft_Azure_Capacity/QuotaMenuBlade/~/myQuotas"
REGIONAL: Final = "cores"
"""Name of the usage of all virtual CPUs of a region; Spot has its own, `lowPriorityCores`."""
SPOT: Final = "lowPriorityCores"


def policy() -> dict[str, Any]:
    """The least custom role for every check."""
    return {
        "Name": "llmcluster preflight",
        "IsCustom": True,
        "Description": "Reads what llmcluster preflight checks",
        "Actions": sorted(set(ACTIONS.values())),
        "NotActions": [],
        "AssignableScopes": ["/subscriptions/<subscription>"],
    }


def run(wanted: Wanted, limits: Limits) -> list[Check]:
    """Make every check that concerns the plan. Without a sign-in no other check is made."""
    checks = Checks()
    credential = skus.AzureCliCredential()
    subscriptions: list[str] = []

    def identity() -> Check:
        subscriptions.append(credential.subscription)
        return Check("identity", "pass", f"subscription {subscriptions[0]}")

    checks.add("identity", ACTIONS["identity"], identity)
    if not subscriptions:
        return checks.made
    compute = skus.compute_client(credential, subscriptions[0], limits)
    listed: list[Any] = []

    def size() -> Check:
        with as_live_error(f"{ACTIONS['size']} in {wanted.region}", ACTIONS["size"]):
            every = compute.resource_skus.list(filter=f"location eq '{wanted.region}'")
            listed.extend(s for s in every if s.resource_type == "virtualMachines" and s.name == wanted.instance_type)
        return _size(wanted, listed)

    checks.add("instance type", ACTIONS["size"], size)
    if listed:
        checks.add("capacity reservation", ACTIONS["size"], lambda: _reservable(wanted, listed[0]))
        checks.add("ephemeral disk", ACTIONS["size"], lambda: _ephemeral(wanted, listed[0]))

    def quota() -> Check:
        with as_live_error(f"{ACTIONS['quota']} in {wanted.region}", ACTIONS["quota"]):
            usages = {str(usage.name.value): usage for usage in compute.usage.list(wanted.region)}
        family = SPOT if wanted.spot_nodes == wanted.nodes else (listed[0].family if listed else None)
        return _quota(wanted, family, usages)

    checks.add("quota", ACTIONS["quota"], quota)
    return checks.made


def _size(wanted: Wanted, listed: Iterable[Any]) -> Check:
    found = next(iter(listed), None)
    if found is None:
        return Check("instance type", "fail", f"{wanted.instance_type} is not offered in {wanted.region}",
                     "choose another region or instance type")  # fmt: skip
    for restriction in found.restrictions or ():
        reason = getattr(restriction.reason_code, "value", restriction.reason_code)
        zones = (restriction.restriction_info and restriction.restriction_info.zones) or ()
        if not zones or wanted.zone in zones:
            where = f"zone {wanted.zone} of {wanted.region}" if zones else wanted.region
            fix = "ask for access to the size at " + QUOTA_PAGE
            return Check("instance type", "fail", f"{wanted.instance_type} is restricted in {where} ({reason})", fix)
    zones = sorted({zone for info in found.location_info or () for zone in info.zones or ()})
    if wanted.zone is not None and wanted.zone not in zones:
        fix = f"set placement.zone to one of {', '.join(zones)}" if zones else "choose a region with zones"
        return Check("instance type", "fail", f"{wanted.instance_type} is not offered in zone {wanted.zone}", fix)
    return Check("instance type", "pass", f"{wanted.instance_type} is offered in {wanted.region} ({found.family})")


def _capability(sku: Any, name: str) -> str | None:
    found = {capability.name: str(capability.value) for capability in sku.capabilities or ()}
    return found.get(name)


def _reservable(wanted: Wanted, sku: Any) -> Check | None:
    if not wanted.reserved_nodes:
        return None
    supported = _capability(sku, "CapacityReservationSupported")
    if supported == "True":
        return Check("capacity reservation", "pass", f"{wanted.instance_type} can be reserved")
    fix = "set capacity.reservation: none"
    return Check("capacity reservation", "fail", f"CapacityReservationSupported is {supported}", fix)


def _ephemeral(wanted: Wanted, sku: Any) -> Check | None:
    if not wanted.ephemeral_root_disk:
        return None
    supported = _capability(sku, "EphemeralOSDiskSupported")
    nvme = _capability(sku, "SupportedEphemeralOSDiskPlacements") or "no placement named"
    if supported == "True":
        return Check("ephemeral disk", "pass", f"supported ({nvme})")
    return Check("ephemeral disk", "fail", f"EphemeralOSDiskSupported is {supported}", "the root disk has to be billed")


def _quota(wanted: Wanted, family: str | None, usages: dict[str, Any]) -> Check:
    needed = wanted.nodes * wanted.vcpus
    short = []
    for name in dict.fromkeys(filter(None, (family, None if family == SPOT else REGIONAL))):
        usage = usages.get(name)
        if usage is None:
            return Check("quota", "warn", f"Azure lists no quota {name} in {wanted.region}", f"see {QUOTA_PAGE}")
        free = usage.limit - usage.current_value
        if free < needed:
            short.append(f"{name}: {free:,} of {usage.limit:,} vCPUs are free, the plan takes {needed:,}")
    if short:
        return Check("quota", "fail", "; ".join(short), f"ask for more at {QUOTA_PAGE}")
    return Check("quota", "pass", f"{needed:,} vCPUs of {family or REGIONAL} are free")
