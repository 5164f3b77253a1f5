"""Phases of a roll-out, set by one Terraform variable: first a few nodes with a burn-in, then all nodes."""

from collections.abc import Mapping
from typing import Final, TypeVar

from cdktf import TerraformVariable, TerraformVariableValidationConfig, Token
from cdktf_cdktf_provider_aws.ssm_parameter import SsmParameter
from constructs import Construct

from cdk.findings import accept
from cdk.naming import named

_GroupT = TypeVar("_GroupT", bound=str)

VALIDATE: Final = "validate"
FULL: Final = "full"


def phase_parameter(cluster: str) -> str:
    """Name of the Systems Manager parameter that holds the phase of a cluster."""
    return f"/llmcluster/{cluster}/phase"


def phase(scope: Construct, validation_nodes: int, what: str) -> TerraformVariable:
    """Adds `var.phase`.

    Args:
        scope: Construct to which it is added.
        validation_nodes: Largest number of nodes in the phase `validate`.
        what: What these nodes do; the description of the variable says it.
    """
    return TerraformVariable(
        scope,
        "phase",
        type="string",
        default=FULL,
        description=(
            f"{VALIDATE}: at most {validation_nodes} nodes, which {what}; {FULL}: all of them, without burn-in."
        ),
        validation=[
            TerraformVariableValidationConfig(
                condition=f'${{contains(["{VALIDATE}", "{FULL}"], var.phase)}}',
                error_message=f"phase is {VALIDATE} or {FULL}.",
            )
        ],
    )


def publish_phase(scope: Construct, cluster: str, variable: TerraformVariable) -> SsmParameter:
    """Adds the parameter from which nodes read the phase at every boot.

    If the user data held the phase, every change of it would change the launch template and replace the nodes. The
    groups of the nodes must wait for the parameter, so that nodes of a new phase read that phase.
    """
    parameter = named(
        SsmParameter(
            scope,
            "phase_of_nodes",
            name=phase_parameter(cluster),
            description=f"Phase of cluster {cluster}, which its nodes read when they boot",
            type="String",
            value=variable.string_value,
        ),
        "phase",
    )
    accept(parameter, CKV2_AWS_34="the name of a phase is not secret")
    return parameter


def nodes_to_validate(groups: Mapping[_GroupT, int], validation_nodes: int) -> dict[_GroupT, int]:
    """Nodes of each group in the phase `validate`, taken from the first groups until there are enough."""
    left = validation_nodes
    chosen: dict[_GroupT, int] = {}
    for name, nodes in groups.items():
        chosen[name] = min(nodes, left)
        left -= chosen[name]
    return chosen


def running_nodes(nodes: int, validating: int, block_active: TerraformVariable | None) -> int | float:
    """Number of nodes to run: it depends on the phase, and is 0 before a Capacity Block has started.

    Args:
        nodes: Nodes of the whole group.
        validating: Nodes of the group in the phase `validate`.
        block_active: Variable that tells whether the block has started; None without a block.

    Returns:
        The number, or a token for a Terraform expression.
    """
    expression = str(nodes) if validating == nodes else f'var.phase == "{VALIDATE}" ? {validating} : {nodes}'
    if block_active is not None:
        inner = expression if validating == nodes else f"({expression})"
        return Token.as_number(f"${{var.{block_active.friendly_unique_id} ? {inner} : 0}}")
    return nodes if validating == nodes else Token.as_number(f"${{{expression}}}")
