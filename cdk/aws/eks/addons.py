"""Add-ons of an EKS cluster: those that nodes need to become ready, and those that run on nodes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from cdktf import ITerraformDependable
from cdktf_cdktf_provider_aws.eks_addon import EksAddon, EksAddonPodIdentityAssociation
from constructs import Construct

from cdk.aws.roles import pod_role
from cdk.naming import named


@dataclass(frozen=True)
class AddonsConfig:
    """Settings of the add-ons."""

    name: str
    region: str
    partition: str
    cluster_name: str
    lustre: bool
    """Whether pods mount the shared file system."""


class NetworkAddons(Construct):
    """Add-ons that a node needs to become ready; they are installed before the nodes are created."""

    def __init__(self, scope: Construct, construct_id: str, config: AddonsConfig) -> None:
        super().__init__(scope, construct_id)
        cni = pod_role(
            self,
            "cni",
            name=f"{config.name}-cni-{config.region}",
            description=f"Addresses of the pods of cluster {config.name}",
            partition=config.partition,
            managed_policies={"addresses": "AmazonEKS_CNI_Policy"},
        )
        agent = _addon(self, config, "eks-pod-identity-agent", "pod_identity_agent")
        network = _addon(
            self,
            config,
            "vpc-cni",
            "vpc_cni",
            # With prefixes of 16 addresses, a node with many pods needs no further network interface.
            settings={"env": {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"}},
            pod_identity=[EksAddonPodIdentityAssociation(role_arn=cni.role.arn, service_account="aws-node")],
            depends_on=[agent, *cni.attachments],
        )
        self.addons = (agent, network, _addon(self, config, "kube-proxy", "kube_proxy"))


class ServiceAddons(Construct):
    """Add-ons that run on the system nodes, or on all nodes once these exist."""

    def __init__(
        self, scope: Construct, construct_id: str, config: AddonsConfig, system_nodes: ITerraformDependable
    ) -> None:
        super().__init__(scope, construct_id)
        _addon(self, config, "coredns", "coredns", depends_on=[system_nodes])
        # Finds Xid and ECC errors, failed disks and broken networks, and sets the conditions by which EKS repairs nodes
        # (EKS user guide, "Detect node health issues"). Its host engine of DCGM tolerates no taint by default.
        _addon(
            self,
            config,
            "eks-node-monitoring-agent",
            "node_monitoring_agent",
            settings={"dcgmAgent": {"tolerations": [{"operator": "Exists"}]}},
            depends_on=[system_nodes],
        )
        if config.lustre:
            # The volume exists already, so that the driver needs no permissions in the account.
            _addon(
                self,
                config,
                "aws-fsx-csi-driver",
                "fsx_csi_driver",
                settings={"node": {"tolerateAllTaints": True}},
                depends_on=[system_nodes],
            )


def _addon(
    scope: Construct,
    config: AddonsConfig,
    name: str,
    address: str,
    *,
    settings: object = None,
    pod_identity: Sequence[EksAddonPodIdentityAssociation] = (),
    depends_on: Sequence[ITerraformDependable] = (),
) -> EksAddon:
    return named(
        EksAddon(
            scope,
            address,
            cluster_name=config.cluster_name,
            addon_name=name,
            configuration_values=json.dumps(settings) if settings else None,
            pod_identity_association=list(pod_identity) or None,
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="OVERWRITE",
            depends_on=list(depends_on) or None,
        ),
        address,
    )
