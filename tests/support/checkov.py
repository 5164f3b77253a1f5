"""checkov on the plans of AWS clusters: no finding without a reason beside the resource, no reason without a finding.

checkov brings about a hundred packages of its own, so that it is not part of the project's environment::

    pipx install checkov
    python -m tests.support.checkov
"""

import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from planner.plan import Plan, Purchase
from tests.support import aws_moto, moto_server
from tests.support.aws_stacks import ROLES, SCRATCH, stack_folder, synthesize
from tests.support.plans import example_plan
from tests.support.terraform import Terraform

Finding = tuple[str, str, str]
"""Cluster and stack, resource, check."""

CLUSTERS: Final[Mapping[str, Plan]] = {
    "open": example_plan(nodes=4, purchase=Purchase(reserved_nodes=2, on_demand_nodes=1, spot_nodes=1)),
    "closed": example_plan(
        instance_type="p5.48xlarge",
        nodes=3,
        spec={
            "network": {"egress": "endpoints-only"},
            "rollout": {"validation_nodes": 2},
            "observability": {"notify": ["ops@example.com"]},
            "storage": {"lustre": {"efa": True, "backup_days": 7, "metadata_iops": 12_000}},
        },
    ),
    "watched": example_plan(
        nodes=2,
        purchase=Purchase(spot_nodes=2),
        spec={"observability": {"notify": ["ops@example.com"], "metrics": True}},
    ),
    "kubernetes": example_plan(nodes=2, spec={"orchestrator": "kubernetes"}),
    "slurm": example_plan(nodes=2, spec={"orchestrator": "slurm"}),
    "own": example_plan(
        instance_type="g6.xlarge",
        nodes=1,
        shared_storage=SCRATCH,
        spec={"network": {"vpc_id": "vpc-0a1b2c3d", "subnet_id": "subnet-0a1b2c3d"}},
    ),
}


def accepted(documents: Mapping[str, Mapping[str, Any]], cluster: str) -> dict[Finding, str]:
    """Findings that the documents of a cluster accept, with their reasons."""
    return {
        (f"{cluster}-{role}", f"{kind}.{name}", check): reason
        for role, document in documents.items()
        for kind, resources in document.get("resource", {}).items()
        for name, resource in resources.items()
        for check, reason in resource.get("//", {}).get("checkov", {}).items()
    }


def findings(plans: list[Path]) -> Iterator[Finding]:
    """What checkov fails in plans as `terraform show -json` prints them.

    Raises:
        RuntimeError: checkov did not run.
    """
    command = [os.environ.get("CHECKOV", "checkov"), "--quiet", "--compact", "--framework", "terraform_plan"]
    files = [argument for plan in plans for argument in ("-f", str(plan))]
    done = subprocess.run([*command, "-o", "json", *files], capture_output=True, text=True, check=False)
    if not done.stdout.strip():
        raise RuntimeError(f"checkov printed no report:\n{done.stderr}")
    reports = json.loads(done.stdout)
    for report in reports if isinstance(reports, list) else [reports]:
        for failed in report.get("results", {}).get("failed_checks", []):
            yield Path(failed["file_path"]).stem, failed["resource"], failed["check_id"]


def _state_of_outputs(document: Mapping[str, Any], path: Path) -> None:
    values = {name: f"{name.replace('_', '-')}-0123456789abcdef0" for name in document.get("output", {})}
    values |= {name: "arn:aws:kms:us-east-1:123456789012:key/0" for name in values if name.endswith("_arn")}
    values |= {"vpc_cidr": "10.42.0.0/16"} if "vpc_cidr" in values else {}
    outputs = {name: {"value": value, "type": "string"} for name, value in values.items()}
    path.parent.mkdir(exist_ok=True)
    state = {"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": str(uuid.UUID(int=0))}
    path.write_text(json.dumps({**state, "outputs": outputs, "resources": []}))


def main() -> int:
    """Plans the clusters against a local AWS and compares; 1 when a finding or a reason is left over."""
    reasons: dict[Finding, str] = {}
    with tempfile.TemporaryDirectory() as name, moto_server.serve() as aws:
        aws_moto.install()
        aws.reset()
        folder, plans = Path(name), []
        tf = Terraform(folder).with_env(aws.env)
        for cluster, plan in CLUSTERS.items():
            place = folder / cluster
            place.mkdir()
            documents = synthesize(plan, place)
            reasons |= accepted(documents, cluster)
            for role in ("network", "storage"):
                _state_of_outputs(documents[role], place / "state" / f"{plan.name}-{role}.tfstate")
            for role in ROLES:
                if not documents[role].get("resource"):
                    continue
                stack = stack_folder(place, plan, role)
                aws.write_override(stack)
                tf.init(stack)
                path = folder / f"{cluster}-{role}.json"
                path.write_text(json.dumps(tf.plan(stack)))
                plans.append(path)
        found = set(findings(plans))
    for finding in sorted(found - set(reasons)):
        sys.stdout.write("failed without a reason: {} {} {}\n".format(*finding))
    for finding in sorted(set(reasons) - found):
        sys.stdout.write("a reason for what is not found: {} {} {}\n".format(*finding))
    sys.stdout.write(f"{len(plans)} plans, {len(found)} findings, {len(reasons)} reasons\n")
    return 1 if found != set(reasons) else 0


if __name__ == "__main__":
    sys.exit(main())
