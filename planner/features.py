"""What a cloud's stacks build beyond the plain cluster; what they do not build is refused, never left out silently."""

from planner.errors import SpecError
from planner.spec import ClusterSpec
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
        ("network.vpc_id", "own-network", spec.network.vpc_id is not None),
        ("network.egress", "private-endpoints", spec.network.egress == "endpoints-only"),
        ("security.permissions_boundary", "permissions-boundary", spec.security.permissions_boundary is not None),
        ("rollout.validation_nodes", "phases", spec.rollout.validation_nodes is not None),
        ("observability.notify", "alarms", bool(spec.observability.notify)),
        ("observability.metrics", "metrics", spec.observability.metrics),
    )


def _check_combinations(spec: ClusterSpec) -> None:
    closed = spec.network.egress == "endpoints-only"
    if closed and spec.orchestrator == "slurm":
        raise SpecError(
            "network.egress: endpoints-only is not built with orchestrator slurm, whose head node installs from the "
            "Internet; allowed is nat, or choose another orchestrator"
        )
    if spec.rollout.validation_nodes is not None and spec.orchestrator != "none":
        raise SpecError(
            f"rollout.validation_nodes: the burn-in is set up by cloud-init, and orchestrator is {spec.orchestrator}; "
            "leave it out, or set orchestrator none"
        )
    if spec.observability.metrics and spec.orchestrator != "none":
        raise SpecError(
            f"observability.metrics: the exporters are set up by cloud-init, orchestrator {spec.orchestrator} brings "
            "its own; leave it out"
        )
    if spec.observability.metrics and closed:
        raise SpecError(
            "observability.metrics: the exporters are images of public registries, which network.egress endpoints-only "
            "does not reach; leave one of the two out"
        )
