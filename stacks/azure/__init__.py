"""A plan on Azure as three stacks, so that compute can be destroyed while files, checkpoints and addresses stay.

May import cdk.azure, the modules at the top of stacks, planner and provider_catalog.
"""

from cdktf import App, TerraformStack

from cdk.azure.addresses import address_plan
from cdk.azure.sizes import vm_size
from planner.errors import SpecError
from planner.plan.plan import Plan
from planner.spec import ClusterSpec
from provider_catalog.catalog import Catalog
from stacks.azure.base import tags
from stacks.azure.compute import compute_stack
from stacks.azure.network import network_stack
from stacks.azure.purchase import check_purchase
from stacks.azure.state_storage import state_stack
from stacks.azure.storage import capacity_tib, storage_stack
from stacks.clouds import BuiltStack


class AzureCluster:
    """Builds the stacks of a plan on Azure.

    Args:
        protect_data: Whether Terraform refuses to destroy the vault, the key, the checkpoints and the file system.
    """

    def __init__(self, *, protect_data: bool = True) -> None:
        self._protect_data = protect_data

    def build(self, app: App, plan: Plan, catalog: Catalog) -> tuple[BuiltStack, ...]:
        """Adds the network, storage and compute stacks of `plan` to `app`.

        Raises:
            SpecError: Azure would refuse the plan, or would not do what the plan says.
        """
        check_purchase(plan)
        try:
            size = vm_size(plan.choice.instance_type)
            tagged = tags(plan)
            addresses = address_plan(plan.spec.network.cidr, plan.choice.nodes, capacity_tib(plan, catalog))
            network = network_stack(app, plan, addresses, tagged)
            storage = storage_stack(app, plan, catalog, tagged, network.stack, protect_data=self._protect_data)
            compute = compute_stack(app, plan, catalog, size, tagged, network.stack, storage.stack)
        except ValueError as error:
            raise SpecError(str(error)) from error
        return network, storage, compute

    def build_state(self, app: App, spec: ClusterSpec) -> TerraformStack:
        """Adds the stack of the storage account that holds the Terraform states of `spec`; it is deployed first.

        Raises:
            SpecError: the region is missing, or Azure refuses a name or a tag.
        """
        return state_stack(app, spec)
