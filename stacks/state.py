"""Where Terraform keeps the state of each stack, and how one stack reads the outputs of another.

Left alone, cdktf writes an absolute local path, and the output then differs by folder. Every path here is relative to
the folder of the stack (`cdktf.out/stacks/<stack>`), which is where Terraform runs.
"""

from collections.abc import Iterable
from typing import Final

from cdktf import (
    AzurermBackend,
    DataTerraformRemoteStateAzurerm,
    DataTerraformRemoteStateLocal,
    DataTerraformRemoteStateS3,
    LocalBackend,
    S3Backend,
    TerraformOutput,
    TerraformRemoteState,
    TerraformStack,
)

from planner.plan.plan import Plan
from planner.spec import State

LOCAL_STATE_FOLDER: Final = "../../../state"
"""From cdktf.out/stacks/<stack> up to the folder of cdktf.json, in which `state/` holds the local states."""


TERRAFORM: Final = ">= 1.10"
"""The first with `use_lockfile`; nothing in a stack is newer."""


def set_backend(stack: TerraformStack, plan: Plan) -> None:
    """Gives `stack` the backend that `plan.spec.state` names. No credentials are written: they come from outside."""
    state, stack_id = plan.spec.state, stack.node.id
    match state.backend:
        case "local":
            LocalBackend(stack, path=_local_path(stack_id))
        case "s3":
            backend = S3Backend(
                stack, bucket=_given(state.bucket), key=_key(state, stack_id), region=state.region, encrypt=True
            )
            # Newer than the binding: a lock object in the bucket itself, in place of a DynamoDB table (Terraform 1.10).
            backend.add_override("use_lockfile", True)
        case "azurerm":
            AzurermBackend(
                stack,
                storage_account_name=_given(state.bucket),
                container_name=state.container,
                key=_key(state, stack_id),
                resource_group_name=state.resource_group,
                use_azuread_auth=True,
            )


def remote_state(stack: TerraformStack, other: TerraformStack, plan: Plan) -> TerraformRemoteState:
    """Outputs of `other` as a data source of `stack`, which from now on is deployed after it.

    The name in the HCL is the role of the other stack: `data.terraform_remote_state.network.outputs.vpc_id` comes from
    `remote_state(compute, network, plan).get_string("vpc_id")`; `network` needs a TerraformOutput of that id.
    """
    stack.add_dependency(other)
    state, other_id = plan.spec.state, other.node.id
    name = other_id.removeprefix(f"{plan.name}-")
    match state.backend:
        case "local":
            return DataTerraformRemoteStateLocal(stack, name, path=_local_path(other_id))
        case "s3":
            return DataTerraformRemoteStateS3(
                stack, name, bucket=_given(state.bucket), key=_key(state, other_id), region=state.region
            )
        case "azurerm":
            return DataTerraformRemoteStateAzurerm(
                stack,
                name,
                storage_account_name=_given(state.bucket),
                container_name=state.container,
                key=_key(state, other_id),
                resource_group_name=state.resource_group,
                use_azuread_auth=True,
            )


def _local_path(stack_id: str) -> str:
    return f"{LOCAL_STATE_FOLDER}/{stack_id}.tfstate"


def _key(state: State, stack_id: str) -> str:
    return f"{state.key_prefix}/{stack_id}.tfstate"


def _given(value: str | None) -> str:
    # State refuses to be built without what its backend needs; this only tells the type checker.
    assert value is not None  # noqa: S101
    return value


def name_provider_source(stack: TerraformStack, provider: str) -> None:
    """Writes what the stack asks for in full: the version of Terraform, and the source of a HashiCorp provider.

    The bindings' bare name would make a reader look it up.
    """
    stack.add_override("terraform.required_version", TERRAFORM)
    stack.add_override(f"terraform.required_providers.{provider}.source", f"hashicorp/{provider}")


def tell_after(output: TerraformOutput, addresses: Iterable[str]) -> None:
    """Lets an apply that stopped half-way tell `output` to other stacks only where all of `addresses` stands."""
    # Its own argument writes references as templates, which Terraform does not take here (cdktf 0.21).
    output.add_override("depends_on", list(addresses))
