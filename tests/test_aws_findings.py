"""Accepted findings of checkov stand beside their resource, in the JSON and in the HCL."""

import json
import re
from pathlib import Path

import pytest

from stacks.app import write_stacks
from tests.support.aws_stacks import FEATURES, synthesize
from tests.support.checkov import accepted
from tests.support.plans import planned_spec

# Most of these tests synthesize stacks, which starts Node.
pytestmark = pytest.mark.slow


@pytest.mark.slow
def test_every_accepted_finding_has_a_reason(tmp_path: Path) -> None:
    for cluster, plan in FEATURES.items():
        (tmp_path / cluster).mkdir()
        reasons = accepted(synthesize(plan, tmp_path / cluster))
        assert reasons
        for (_, resource, check), reason in reasons.items():
            assert re.fullmatch(r"CKV2?_AWS_\d+", check), resource
            assert len(reason.split()) >= 4, (resource, check)


@pytest.mark.parametrize("cluster", FEATURES)
def test_hcl_defines_nothing_twice_as_json_cannot_either(cluster: str, tmp_path: Path) -> None:
    planned = [planned_spec(FEATURES[cluster])]
    write_stacks(planned, tmp_path / "cdktf.out", tmp_path / "hcl.out")
    for document in (tmp_path / "hcl.out").glob("stacks/*/cdk.tf"):
        defined = re.findall(r'^(?:resource|data) "\w+" "\w+"', document.read_text(), re.MULTILINE)
        assert len(defined) == len(set(defined)), document.parent.name


def test_hcl_carries_the_reasons_where_checkov_reads_them(tmp_path: Path) -> None:
    planned = [planned_spec(FEATURES["open"])]
    write_stacks(planned, tmp_path / "cdktf.out", tmp_path / "hcl.out")
    hcl = (tmp_path / "hcl.out" / "stacks" / "example-storage" / "cdk.tf").read_text()
    bucket = hcl[hcl.index('resource "aws_s3_bucket" "checkpoints" {') :]
    assert re.match(
        r"resource [^\n]*\{\n  # checkov:skip=CKV2_AWS_62: no service of the cluster reacts to new objects\n", bucket
    )


# terraform-provider-aws, "Version 6 Upgrade Guide": arguments that are gone.
REMOVED_IN_V6 = {
    "aws_eip": {"vpc"},
    "aws_eks_addon": {"resolve_conflicts"},
    "aws_flow_log": {"log_group_name"},
    "aws_instance": {"cpu_core_count", "cpu_threads_per_core"},
    "aws_launch_template": {"elastic_gpu_specifications", "elastic_inference_accelerator"},
}


@pytest.mark.parametrize("cluster", FEATURES)
def test_nothing_is_used_that_version_6_of_the_provider_removes(cluster: str, tmp_path: Path) -> None:
    for document in synthesize(FEATURES[cluster], tmp_path).values():
        for kind, removed in REMOVED_IN_V6.items():
            for name, resource in document.get("resource", {}).get(kind, {}).items():
                assert not removed & set(resource), f"{kind}.{name}"
        assert "aws_region" not in document.get("data", {})
        # `region` of a bucket becomes an argument, which says where to make it.
        assert not re.search(r"aws_s3_bucket\.[\w-]+\.region\b", json.dumps(document, default=str))
        # 0 and 1 are no longer taken for false and true.
        for template in document.get("resource", {}).get("aws_launch_template", {}).values():
            flags = [template.get("ebs_optimized")]
            flags += [
                block.get(flag)
                for block in template.get("network_interfaces", [])
                for flag in ("associate_public_ip_address", "delete_on_termination", "primary_ipv6")
            ]
            flags += [
                block["ebs"].get(flag)
                for block in template.get("block_device_mappings", [])
                for flag in ("delete_on_termination", "encrypted")
            ]
            assert {str(flag).lower() for flag in flags} <= {"none", "true", "false"}
