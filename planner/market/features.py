"""Refuses spec features that the stacks of a cloud do not build, so that none is dropped silently."""

from planner.errors import SpecError
from planner.spec import ClusterSpec, OwnReservation
from provider_catalog.defaults import Feature, ProviderDefaults


def check_features(spec: ClusterSpec, defaults: ProviderDefaults) -> None:
    """Checks that the stacks of a cloud build every feature that the spec asks for.

    Raises:
        SpecError: the cloud lacks a feature, or the spec combines options that exclude each other.
    """
    for field, feature, requested in _requested_features(spec):
        if requested and feature not in defaults.features:
            raise SpecError(
                f"{field}: not supported on {defaults.name}; leave it out, or name a provider that supports it in "
                "placement.providers"
            )
    _check_combinations(spec)
    _check_tag_counts(spec, defaults)


def _requested_features(spec: ClusterSpec) -> tuple[tuple[str, Feature, bool], ...]:
    return (
        ("capacity.reservation", "own-reservation", isinstance(spec.capacity.reservation, OwnReservation)),
        ("placement.zones", "zone-order", bool(spec.placement.zones)),
        ("network.vpc_id", "own-network", spec.network.vpc_id is not None),
        ("network.egress", "private-endpoints", spec.network.egress == "endpoints-only"),
        ("security.permissions_boundary", "permissions-boundary", spec.security.permissions_boundary is not None),
        ("security.ebs_default_key", "ebs-default-key", spec.security.ebs_default_key),
        ("rollout.validation_nodes", "phases", spec.rollout.validation_nodes is not None),
        ("observability.notify", "alarms", bool(spec.observability.notify)),
        ("observability.metrics", "metrics", spec.observability.metrics),
        ("image_id", "image-id", spec.image_id is not None),
        ("capacity.min_nodes", "schedules", spec.capacity.min_nodes is not None),
    )


def _check_tag_counts(spec: ClusterSpec, defaults: ProviderDefaults) -> None:
    services = bool(spec.observability.notify) or spec.observability.metrics
    for limit in defaults.orchestrators[spec.orchestrator].tag_limits:
        given = len(spec.tags.keys() - set(limit.own))
        room = limit.most - len(limit.own)
        if given > room and (services or not limit.node_services):
            raise SpecError(
                f"tags: {given} are given, and {limit.resource} on {defaults.name} has at most {limit.most}, of which "
                f"{len(limit.own)} are set already ({', '.join(limit.own)}); give at most {room}"
            )


def _check_combinations(spec: ClusterSpec) -> None:
    if spec.image_id is not None and spec.orchestrator == "kubernetes":
        raise SpecError(
            "image_id: EKS chooses the image of its node groups; pin its release by the Terraform variable "
            "release_version, and leave image_id out"
        )
    if spec.capacity.min_nodes is not None and spec.orchestrator == "slurm":
        raise SpecError(
            f"capacity.min_nodes is {spec.capacity.min_nodes}, but Slurm starts and stops nodes for its jobs, and no "
            "schedule does; leave it out"
        )
    if spec.security.ebs_default_key and spec.orchestrator != "slurm":
        raise SpecError(
            f"security.ebs_default_key: with orchestrator {spec.orchestrator} the launch template encrypts root "
            "volumes with the key of the cluster, and the default key of the account has no effect; leave it out"
        )
    if spec.network.egress != "endpoints-only" or spec.network.image_registry is not None:
        return
    if spec.orchestrator == "kubernetes":
        raise SpecError(
            "network.image_registry: missing; pods get no GPU without the device plugins of orchestrator kubernetes. "
            "Their images are in public registries, which network.egress endpoints-only cannot reach. Name a registry "
            "that holds copies of them, such as 123456789012.dkr.ecr.us-east-1.amazonaws.com/mirror"
        )
    if spec.observability.metrics:
        raise SpecError(
            "observability.metrics: its images are in public registries, which network.egress endpoints-only cannot "
            "reach; name a registry that holds copies in network.image_registry, or leave one of the two out"
        )
