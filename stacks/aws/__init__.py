"""A plan on AWS as three stacks, so that compute can be destroyed while files, checkpoints and addresses stay.

May import cdk.aws, the modules at the top of stacks, planner and provider_catalog.
"""

from cdktf import App, TerraformStack

from cdk.aws.identity import bound_roles
from cdk.aws.interfaces import interfaces
from planner.plan.plan import Plan
from planner.spec import ClusterSpec
from provider_catalog.catalog import Catalog
from stacks.aws.compute import compute_stack
from stacks.aws.network import network_stack
from stacks.aws.purchase import check_purchase
from stacks.aws.state_storage import state_stack
from stacks.aws.storage import storage_stack
from stacks.clouds import BuiltStack


class AwsCluster:
    """Builds the stacks of a plan on AWS.

    Args:
        protect_data: Whether Terraform refuses to destroy the key, the bucket and the file system.
    """

    def __init__(self, *, protect_data: bool = True) -> None:
        self._protect_data = protect_data

    def build(self, app: App, plan: Plan, catalog: Catalog) -> tuple[BuiltStack, ...]:
        """Adds the network, storage and compute stacks of `plan` to `app`.

        Raises:
            SpecError: AWS would refuse the network range, the zone, a tag or the purchase kind of the plan.
        """
        instance_type = catalog.instance_type("aws", plan.choice.instance_type)
        check_purchase(plan, instance_type)
        node_interfaces = interfaces(instance_type.network_cards, instance_type.rdma_cards)
        network = network_stack(app, plan, catalog, node_interfaces)
        storage = storage_stack(app, plan, network.stack, protect_data=self._protect_data)
        compute = compute_stack(app, plan, catalog, instance_type, node_interfaces, network.stack, storage.stack)
        if boundary := plan.spec.security.permissions_boundary:
            for built in (network, storage, compute):
                bound_roles(built.stack, boundary)
        return network, storage, compute

    def build_state(self, app: App, spec: ClusterSpec) -> TerraformStack:
        """Adds the stack of the bucket that holds the Terraform states of `spec`; it is deployed first.

        Raises:
            SpecError: the spec names no bucket in S3.
        """
        return state_stack(app, spec)
