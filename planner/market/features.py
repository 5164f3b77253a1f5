"""What a cloud's stacks build beyond the plain cluster; what they do not build is refused, never left out silently."""

from planner.errors import SpecError
from planner.spec import ClusterSpec, OwnReservation
from provider_catalog.defaults import Feature, ProviderDefaults


def check_features(spec: ClusterSpec, defaults: ProviderDefaults) -> None:
    """Compares a spec with what the stacks of a cloud build.

    Raises:
        SpecError: the spec asks for what this cloud, or this combination, does not have.
    """
    for field, feature, asked in _asked(spec):
        if asked and feature not in defaults.features:
            raise SpecError(
                f"{field}: not built on {defaults.name}; leave it out, or name a provider that has it in "
                "placement.providers"
            )
    _check_combinations(spec)


def _asked(spec: ClusterSpec) -> tuple[tuple[str, Feature, bool], ...]:
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
    )


def _check_combinations(spec: ClusterSpec) -> None:
    if spec.security.ebs_default_key and spec.orchestrator != "slurm":
        raise SpecError(
            f"security.ebs_default_key: root volumes of orchestrator {spec.orchestrator} have the key of the cluster "
            "by their launch template, whatever the default of the account is; leave it out"
        )
    if spec.network.egress != "endpoints-only" or spec.network.image_registry is not None:
        return
    if spec.orchestrator == "kubernetes":
        raise SpecError(
            "network.image_registry: missing; the device plugins of orchestrator kubernetes, without which no pod gets "
            "a GPU, come from public registries, which network.egress endpoints-only does not reach. Name a registry "
            "that holds copies of them, such as 123456789012.dkr.ecr.us-east-1.amazonaws.com/mirror"
        )
    if spec.observability.metrics:
        raise SpecError(
            "observability.metrics: its images come from public registries, which network.egress endpoints-only does "
            "not reach; name a registry that holds copies in network.image_registry, or leave one of the two out"
        )
