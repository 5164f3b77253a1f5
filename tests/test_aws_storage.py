"""Shared file systems of AWS clusters: the options of FSx for Lustre that a spec may set (rules A11, A12)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cdk.bootstrap import LustreMount, NodeBootstrap, cloud_init
from planner.cost.lustre_lines import included_metadata_iops, lustre_lines
from planner.errors import InfeasibleError, SpecError
from planner.market.machines import machines
from planner.search.optimizer import plan as make_plan
from planner.spec import ClusterSpec
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from tests.support.aws_stacks import synthesize
from tests.support.plans import example_plan

# Most of these tests synthesize stacks, which starts Node.
pytestmark = pytest.mark.slow

CATALOG = Catalog.load()


def spec(storage: dict[str, Any], instance_type: str = "p5.48xlarge", provider: str = "aws") -> ClusterSpec:
    return read_spec(
        {
            "name": "example",
            "model": {"parameters": "7B"},
            "workload": {"kind": "training", "tokens": 1e11, "deadline_days": 60},
            "placement": {"providers": [provider], "instance_types": [instance_type]},
            "storage": storage,
        },
        "example.yaml",
    )


def file_system(tmp_path: Path, storage: dict[str, Any]) -> dict[str, Any]:
    documents = synthesize(example_plan(spec={"storage": storage}), tmp_path)
    found: dict[str, Any] = documents["storage"]["resource"]["aws_fsx_lustre_file_system"]["shared"]
    return found


# Legal values (FSx API reference; FSx for Lustre guide)


@pytest.mark.parametrize("iops", [1500, 3000, 6000, 12_000, 24_000, 192_000])
def test_a11_metadata_iops_that_fsx_sells_are_accepted(iops: int, tmp_path: Path) -> None:
    made = file_system(tmp_path, {"lustre": {"metadata_iops": iops}})
    assert made["metadata_configuration"] == {"mode": "USER_PROVISIONED", "iops": iops}


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ({"lustre": {"metadata_iops": 9000}}, r"metadata_iops is 9000; allowed are 1500, 3000, 6000 and multiples"),
        ({"lustre": {"metadata_iops": 204_000}}, "metadata_iops is 204000; allowed are 1500"),
        ({"lustre": {"backup_days": 91}}, r"storage\.lustre\.backup_days"),
        ({"lustre": {"compression": "zstd"}}, r"storage\.lustre\.compression"),
        (
            {"lustre": {"backup_days": 7, "data_repositories": [{"bucket": "s3://data"}]}},
            "backup_days and data_repositories exclude each other",
        ),
        ({"lustre": {"data_repositories": [{"bucket": "data"}]}}, r"storage\.lustre\.data_repositories\.0\.bucket"),
        (
            {"lustre": {"data_repositories": [{"bucket": "s3://one", "path": p} for p in ("/a/b", "/a")]}},
            r"data_repositories\[0\]\.path /a/b is inside",
        ),
    ],
)
def test_a11_values_that_do_not_exist_are_refused_with_what_does(storage: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec(storage)


@pytest.mark.parametrize(
    ("sku", "lustre", "field"),
    [
        ("SCRATCH_2", {"metadata_iops": 3000}, "metadata_iops"),
        ("SCRATCH_2", {"backup_days": 7}, "backup_days"),
        ("SCRATCH_2", {"efa": True}, "efa"),
        ("PERSISTENT_1-100", {"efa": True}, "efa"),
        ("PERSISTENT_1-100", {"metadata_iops": 3000}, "metadata_iops"),
    ],
)
def test_a11_options_that_a_deployment_type_does_not_have(sku: str, lustre: dict[str, Any], field: str) -> None:
    asked = spec({"shared_sku": sku, "lustre": lustre})
    (machine,) = machines(spec({}), CATALOG)
    with pytest.raises(
        SpecError, match=rf"storage\.lustre\.{field}: not supported by {sku}, which supports compression"
    ):
        machine.place.shared_storage(asked)


def test_options_of_fsx_are_refused_on_azure() -> None:
    asked = spec({"lustre": {"backup_days": 7}}, "Standard_ND96asr_v4", "azure")
    (machine,) = machines(asked, CATALOG)
    with pytest.raises(SpecError, match=r"storage\.lustre\.backup_days: not supported by AMLFS"):
        machine.place.shared_storage(asked)


# EFA to the file servers


@pytest.mark.parametrize(("throughput", "step_gib"), [(125, 38_400), (250, 19_200), (500, 9_600), (1000, 4_800)])
def test_a11_with_efa_sizes_are_multiples_of_a_larger_step(throughput: int, step_gib: int) -> None:
    system = CATALOG.shared_file_system("aws", f"PERSISTENT_2-{throughput}")
    assert system.legal_size_gib(1, efa=True) == step_gib
    assert system.legal_size_gib(step_gib + 1, efa=True) == 2 * step_gib


def test_a11_the_rounding_is_reported() -> None:
    made = make_plan(
        spec({"shared_tib": 10, "shared_sku": "PERSISTENT_2-1000", "lustre": {"efa": True}}),
        load_model({"parameters": "7B"}, None),
        CATALOG,
    )
    assert made.choice.shared_storage is not None
    assert made.choice.shared_storage.size_gib == 14_400
    assert any("10,240 GiB; PERSISTENT_2-1000 with EFA is sold at 14,400 GiB" in note for note in made.notes)


def test_p4_is_no_efa_client_of_lustre() -> None:
    with pytest.raises(InfeasibleError) as refused:
        make_plan(spec({"lustre": {"efa": True}}, "p4d.24xlarge"), load_model({"parameters": "7B"}, None), CATALOG)
    assert "cannot mount PERSISTENT_2-125 over EFA" in str(refused.value) + str(refused.value.nearest)


def test_a12_over_efa_servers_and_clients_allow_everything_by_group(tmp_path: Path) -> None:
    plan = example_plan(instance_type="p5.48xlarge", nodes=2, spec={"storage": {"lustre": {"efa": True}}})
    documents = synthesize(plan, tmp_path)
    storage = documents["storage"]["resource"]
    made = storage["aws_fsx_lustre_file_system"]["shared"]
    assert made["efa_enabled"] is True
    assert made["metadata_configuration"] == {"mode": "AUTOMATIC"}
    servers, clients = "${aws_security_group.shared.id}", "${aws_security_group.shared_clients.id}"
    for direction in ("ingress", "egress"):
        rules = storage[f"aws_vpc_security_group_{direction}_rule"].values()
        assert {(r["security_group_id"], r["referenced_security_group_id"], r["ip_protocol"]) for r in rules} == {
            (servers, servers, "-1"),
            (servers, clients, "-1"),
            (clients, servers, "-1"),
        }
    client = "${data.terraform_remote_state.storage.outputs.shared_clients_security_group_id}"
    (template,) = documents["compute"]["resource"]["aws_launch_template"].values()
    assert all(client in interface["security_groups"] for interface in template["network_interfaces"])


def test_a_node_joins_the_file_system_over_efa_before_it_mounts() -> None:
    node = NodeBootstrap(
        cluster="example",
        scratch="none",
        nvme_disks=0,
        lustre=LustreMount("aws", "fs-1@tcp:/abc", efa_interfaces=8),
        fabric="efa",
        rdma_cards=32,
        gpus=8,
    )
    written = {file["path"]: file["content"] for file in yaml.safe_load(cloud_init(node))["write_files"]}
    script = written["/usr/local/sbin/llmcluster-lustre-client"]
    assert "lnetctl net add --net efa --if" in script
    assert script.index("lnetctl net add --net efa") < script.index("\nmodprobe lustre\n")


# The document and the bill


def test_a_plain_file_system_is_compressed_and_has_no_backups(tmp_path: Path) -> None:
    made = file_system(tmp_path, {})
    assert made["data_compression_type"] == "LZ4"
    assert not {"automatic_backup_retention_days", "metadata_configuration", "efa_enabled"} & set(made)
    assert file_system(tmp_path, {"lustre": {"compression": "none"}})["data_compression_type"] == "NONE"


def test_backups_carry_tags_and_a_time(tmp_path: Path) -> None:
    made = file_system(tmp_path, {"lustre": {"backup_days": 14}})
    assert made["automatic_backup_retention_days"] == 14
    assert made["copy_tags_to_backups"] is True


def test_buckets_appear_as_folders_and_outlive_the_link(tmp_path: Path) -> None:
    repository = {"bucket": "s3://corpus/tokens", "path": "/corpus", "export_events": ["new"]}
    documents = synthesize(example_plan(spec={"storage": {"lustre": {"data_repositories": [repository]}}}), tmp_path)
    (link,) = documents["storage"]["resource"]["aws_fsx_data_repository_association"].values()
    assert (link["data_repository_path"], link["file_system_path"]) == ("s3://corpus/tokens", "/corpus")
    assert link["s3"]["auto_import_policy"]["events"] == ["NEW", "CHANGED", "DELETED"]
    assert link["s3"]["auto_export_policy"]["events"] == ["NEW"]
    assert link["delete_data_in_filesystem"] is False


def test_data_goes_with_the_stack_only_when_that_was_asked_for(tmp_path: Path) -> None:
    storage = synthesize(example_plan(spec={"storage": {"keep_on_destroy": False}}), tmp_path)["storage"]["resource"]
    for kind in ("aws_kms_key", "aws_s3_bucket", "aws_fsx_lustre_file_system"):
        assert all("prevent_destroy" not in resource.get("lifecycle", {}) for resource in storage[kind].values()), kind


# FSx for Lustre guide, "File system metadata performance": what comes with a size.
@pytest.mark.parametrize(
    ("size_gib", "iops"),
    [(1200, 1500), (2400, 3000), (4800, 6000), (9600, 6000), (12_000, 12_000), (45_600, 12_000), (48_000, 24_000)],
)
def test_metadata_iops_that_come_with_the_size(size_gib: int, iops: int) -> None:
    assert included_metadata_iops(size_gib) == iops


def test_only_metadata_iops_beyond_the_size_are_billed() -> None:
    storage = example_plan().choice.shared_storage
    (line,) = lustre_lines(spec({"lustre": {"metadata_iops": 12_000}}).storage.lustre, storage)
    assert (line.role, line.quantity) == ("shared_metadata", 9000)
    (line,) = lustre_lines(spec({"lustre": {"backup_days": 7}}).storage.lustre, storage)
    assert (line.role, line.quantity) == ("shared_backups", 2400)


# Roles


def test_a18_every_role_has_the_permissions_boundary_that_was_asked_for(tmp_path: Path) -> None:
    boundary = "arn:aws:iam::123456789012:policy/engineering/boundary"
    documents = synthesize(example_plan(spec={"security": {"permissions_boundary": boundary}}), tmp_path)
    roles = [r for d in documents.values() for r in d["resource"].get("aws_iam_role", {}).values()]
    assert len(roles) >= 2
    assert {role["permissions_boundary"] for role in roles} == {boundary}


def test_a18_a_boundary_that_is_no_policy_is_refused() -> None:
    with pytest.raises(SpecError, match=r"security\.permissions_boundary"):
        read_spec(
            {
                "name": "example",
                "model": {"parameters": "7B"},
                "workload": {"kind": "training", "tokens": 1e11},
                "security": {"permissions_boundary": "arn:aws:iam::123456789012:role/admin"},
            },
            "example.yaml",
        )
