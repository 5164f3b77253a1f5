"""Stand-ins for the network and storage stacks: states with the identifiers that a compute stack reads from them."""

import json
from collections.abc import Mapping
from pathlib import Path

from planner.plan.plan import Plan
from tests.support.aws_matrix import state
from tests.support.aws_stacks import stack_folder, synthesize
from tests.support.moto_server import REGION, MotoServer


def lay_ground(account: MotoServer) -> Mapping[str, str]:
    """Create a VPC with a subnet in each of two zones, and a group of file system clients; return their identifiers."""
    ec2 = account.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.42.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.42.{index}.0/24", AvailabilityZone=f"{REGION}{letter}")
        for index, letter in enumerate("ab")
    ]
    first, second = (subnet["Subnet"]["SubnetId"] for subnet in subnets)
    clients = ec2.create_security_group(GroupName="clients", Description="clients", VpcId=vpc_id)["GroupId"]
    return {
        "vpc_id": vpc_id,
        "compute_subnet_id": first,
        "control_plane_subnet_id": second,
        "availability_zone": f"{REGION}a",
        "shared_clients_security_group_id": clients,
    }


def compute(plan: Plan, folder: Path, ground: Mapping[str, str]) -> Path:
    """Synthesize a plan with states of its network and storage in place; return the folder of its compute stack."""
    documents = synthesize(plan, folder)
    for role in ("network", "storage"):
        path = folder / "state" / f"{plan.name}-{role}.tfstate"
        path.write_text(json.dumps(state(documents[role]["output"], **ground)))
    return stack_folder(folder, plan, "compute")
