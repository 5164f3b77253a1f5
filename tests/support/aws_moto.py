"""Corrections of moto where it answers differently from EC2, IAM and S3 on the resources of the AWS stacks.

- A security-group rule whose peer is a group keeps its description (EC2 API reference, SecurityGroupRule).
- Tags of a launch template are not part of its data (EC2 API reference, ResponseLaunchTemplateData).
- AWS-managed IAM policies exist.
- A statement of a bucket's policy holds only where its conditions do; moto reads none, and here nobody uses TLS.
"""

import json
import os
from typing import Any

from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.s3.models import FakeBucket

_get_permission = FakeBucket.get_permission
_create_version = LaunchTemplate.create_version


def _description(rule: Any) -> str | None:
    peer: dict[str, str] = rule.ip_range or rule.source_group or {}
    return peer.get("Description")


def _create_version_of_data(self: Any, data: dict[str, Any], description: str) -> Any:
    specifications = data.get("TagSpecifications")
    if specifications:
        kept = [spec for spec in specifications if spec["ResourceType"] != "launch-template"]
        data = {**data, "TagSpecifications": kept}
    return _create_version(self, data, description)


def _permission_without_conditions(self: Any, action: str, resource: str) -> Any:
    policy = self.policy
    statements = json.loads(policy)["Statement"] if policy else []
    if not any("Condition" in statement for statement in statements):
        return _get_permission(self, action, resource)
    kept = [statement for statement in statements if "Condition" not in statement]
    self.policy = json.dumps({"Version": "2012-10-17", "Statement": kept}).encode() if kept else None
    try:
        return _get_permission(self, action, resource)
    finally:
        self.policy = policy


def install() -> None:
    """Correct moto in this process. Managed policies appear with the next reset."""
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    patches: dict[type, dict[str, Any]] = {
        SecurityGroupRule: {"description": property(_description)},
        LaunchTemplate: {"create_version": _create_version_of_data},
        FakeBucket: {"get_permission": _permission_without_conditions},
    }
    for owner, members in patches.items():
        for name, member in members.items():
            setattr(owner, name, member)
