"""Roles that AWS services and pods take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cdktf_cdktf_provider_aws.data_aws_iam_policy_document import (
    DataAwsIamPolicyDocument,
    DataAwsIamPolicyDocumentStatement,
    DataAwsIamPolicyDocumentStatementCondition,
    DataAwsIamPolicyDocumentStatementPrincipals,
)
from cdktf_cdktf_provider_aws.iam_role import IamRole
from cdktf_cdktf_provider_aws.iam_role_policy_attachment import IamRolePolicyAttachment
from constructs import Construct

from cdk.naming import named


@dataclass(frozen=True)
class ServiceRole:
    """A role with its managed policies."""

    role: IamRole
    attachments: tuple[IamRolePolicyAttachment, ...]


def service_trust(
    scope: Construct,
    construct_id: str,
    address: str,
    *,
    service: str,
    actions: Sequence[str] = ("sts:AssumeRole",),
    account: str | None = None,
) -> DataAwsIamPolicyDocument:
    """Who takes a role: `service`, and with `account` only on behalf of that account.

    Without it a service may act for somebody else's (the confused deputy of the IAM user guide).
    """
    own = (
        DataAwsIamPolicyDocumentStatementCondition(test="StringEquals", variable="aws:SourceAccount", values=[account])
        if account
        else None
    )
    statement = DataAwsIamPolicyDocumentStatement(
        actions=list(actions),
        principals=[DataAwsIamPolicyDocumentStatementPrincipals(type="Service", identifiers=[service])],
        condition=[own] if own else None,
    )
    return named(DataAwsIamPolicyDocument(scope, construct_id, statement=[statement]), address)


def service_role(
    scope: Construct,
    address: str,
    *,
    name: str,
    description: str,
    service: str,
    partition: str,
    managed_policies: Mapping[str, str] | None = None,
    actions: Sequence[str] = ("sts:AssumeRole",),
) -> ServiceRole:
    """A role, called `address` in the HCL, that `service` takes.

    `managed_policies` are policies of AWS by the address of their attachment; a name may hold a path.
    """
    trust = service_trust(scope, f"{address}_trust", f"{address}_trust", service=service, actions=actions)
    role = named(
        IamRole(scope, f"{address}_role", name=name, description=description, assume_role_policy=trust.json), address
    )
    attachments = tuple(
        named(
            IamRolePolicyAttachment(
                scope,
                f"{address}_{key}",
                role=role.name,
                policy_arn=f"arn:{partition}:iam::aws:policy/{policy}",
            ),
            f"{address}_{key}",
        )
        for key, policy in (managed_policies or {}).items()
    )
    return ServiceRole(role, attachments)


POD_IDENTITY = "pods.eks.amazonaws.com"
POD_IDENTITY_ACTIONS = ("sts:AssumeRole", "sts:TagSession")
"""EKS user guide, "Assign an IAM role to a Kubernetes service account": the trust of a role for Pod Identity."""


def pod_role(
    scope: Construct,
    address: str,
    *,
    name: str,
    description: str,
    partition: str,
    managed_policies: Mapping[str, str] | None = None,
) -> ServiceRole:
    """A role that pods of one service account get through EKS Pod Identity (rule A18)."""
    return service_role(
        scope,
        address,
        name=name,
        description=description,
        service=POD_IDENTITY,
        partition=partition,
        managed_policies=managed_policies,
        actions=POD_IDENTITY_ACTIONS,
    )
