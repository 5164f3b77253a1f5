"""Where moto answers otherwise than EC2 and IAM do on the resources of the AWS stacks.

- A security-group rule whose peer is a group keeps its description (EC2 API reference, SecurityGroupRule).
- Tags of a launch template are not part of its data (EC2 API reference, ResponseLaunchTemplateData).
- AWS-managed IAM policies exist.
"""

import os
from typing import Any

from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.models.security_groups import SecurityGroupRule

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


def install() -> None:
    """Correct moto in this process. Managed policies appear with the next reset."""
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    patches: dict[type, dict[str, Any]] = {
        SecurityGroupRule: {"description": property(_description)},
        LaunchTemplate: {"create_version": _create_version_of_data},
    }
    for owner, members in patches.items():
        for name, member in members.items():
            setattr(owner, name, member)
