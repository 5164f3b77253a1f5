"""IAM roles that AWS services and pods assume."""

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
    """A role and the attachments of its managed policies."""

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
    """Trust policy that lets `service` assume a role; with `account`, only on behalf of that account.

    Without `account`, the service may act for another account (IAM user guide, "The confused deputy problem").
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
    """Adds a role, named `address` in the HCL, that `service` assumes.

    `managed_policies` are names of AWS managed policies, which may include a path, by the address of their attachment.
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
"""Actions that the trust policy of a role for Pod Identity allows (EKS user guide, "Assign an IAM role to a Kubernetes
service account")."""


def pod_role(
    scope: Construct,
    address: str,
    *,
    name: str,
    description: str,
    partition: str,
    managed_policies: Mapping[str, str] | None = None,
) -> ServiceRole:
    """Adds a role that the pods of a service account assume through EKS Pod Identity (rule A18)."""
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
