"""The Terraform state of each stack: its backend, and the outputs that other stacks read from it.

By default cdktf writes an absolute local path, so that the output would depend on the folder. Every path here is
relative to the folder of the stack (`cdktf.out/stacks/<stack>`), where Terraform runs.
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
"""Folder of the local states: `state/` beside cdktf.json, relative to cdktf.out/stacks/<stack>."""

TERRAFORM: Final = ">= 1.10"
"""Version of Terraform: 1.10 is the first with `use_lockfile`, the newest feature in a stack."""


def set_backend(stack: TerraformStack, plan: Plan) -> None:
    """Gives `stack` the backend that `plan.spec.state` names. Credentials come from outside and are never written."""
    state, stack_id = plan.spec.state, stack.node.id
    match state.backend:
        case "local":
            LocalBackend(stack, path=_local_path(stack_id))
        case "s3":
            # Without `encrypt`, S3 encrypts by the default of the bucket, which is a customer key in the bucket of
            # bootstrap-state. With `encrypt` but no key of its own, Terraform asks for AES256 (S3 backend, kms_key_id).
            backend = S3Backend(stack, bucket=_given(state.bucket), key=_key(state, stack_id), region=state.region)
            # The binding does not know this argument: a lock object in the bucket replaces the DynamoDB table.
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
    """Adds the outputs of `other` as a data source of `stack`, which is then deployed after it.

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
    # The spec model guarantees that the value is there; this tells the type checker.
    assert value is not None  # noqa: S101
    return value


def name_provider_source(stack: TerraformStack, provider: str) -> None:
    """Writes the required version of Terraform, and the full source of a HashiCorp provider.

    The bindings write the short name of the provider only.
    """
    stack.add_override("terraform.required_version", TERRAFORM)
    stack.add_override(f"terraform.required_providers.{provider}.source", f"hashicorp/{provider}")


def depend_on(output: TerraformOutput, addresses: Iterable[str]) -> None:
    """Makes `output` depend on `addresses`, so that other stacks do not see it if an apply stopped before them."""
    # cdktf 0.21 writes its own argument as templates, which Terraform does not accept here.
    output.add_override("depends_on", list(addresses))
