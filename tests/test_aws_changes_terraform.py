"""Changes of a living cluster: what Terraform plans, against a local AWS, when a spec changes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from planner.plan.plan import Plan
from tests.support.aws_ground import compute, lay_ground
from tests.support.aws_stacks import stack_folder, synthesize
from tests.support.moto_server import MotoServer
from tests.support.plans import example_plan
from tests.support.terraform import Terraform

OPS, DATA, CI = (f"arn:aws:iam::123456789012:role/{name}" for name in ("ops", "data", "ci"))


def administered(*arns: str) -> Plan:
    return example_plan(spec={"orchestrator": "kubernetes", "kubernetes": {"administrators": list(arns)}})


def entries(account: MotoServer, principals: Sequence[str]) -> dict[str, Any]:
    eks = account.client("eks")
    return {
        arn: eks.describe_access_entry(clusterName="example", principalArn=arn)["accessEntry"]["createdAt"]
        for arn in principals
    }


def test_administrators_come_and_go_and_the_cluster_stays(
    terraform: Terraform, account: MotoServer, tmp_path: Path
) -> None:
    tf, ground = terraform.with_env(account.env), lay_ground(account)
    folder = compute(administered(), tmp_path, ground)
    tf.init(folder)
    tf.apply(folder)
    assert tf.changes(folder) == {}
    born = account.client("eks").describe_cluster(name="example")["cluster"]["createdAt"]

    compute(administered(OPS, DATA), tmp_path, ground)
    changes = tf.changes(folder)
    assert {address.split(".")[0] for address in changes} == {
        "aws_eks_access_entry",
        "aws_eks_access_policy_association",
    }
    created = [address for address, actions in changes.items() if actions == ["create"]]
    deleted = [address for address, actions in changes.items() if actions == ["delete"]]
    assert (len(created), len(deleted)) == (4, 2)
    assert all(address.endswith(".applier") for address in deleted)
    tf.apply(folder)
    before = entries(account, [DATA])

    compute(administered(CI, DATA), tmp_path, ground)
    changes = tf.changes(folder)
    assert sorted(map(tuple, changes.values())) == [("create",)] * 2 + [("delete",)] * 2
    tf.apply(folder)
    assert entries(account, [DATA]) == before
    compute(administered(DATA, CI), tmp_path, ground)
    assert tf.changes(folder) == {}
    assert account.client("eks").describe_cluster(name="example")["cluster"]["createdAt"] == born


def test_a_cluster_of_an_earlier_version_is_not_replaced_and_its_administrators_keep_their_entries(
    terraform: Terraform, account: MotoServer, tmp_path: Path
) -> None:
    tf, ground = terraform.with_env(account.env), lay_ground(account)
    folder = compute(administered(OPS, DATA), tmp_path, ground)
    path = folder / "cdk.tf.json"
    document = json.loads(path.read_text())
    # Earlier versions counted the administrators, and let the creator in where there were none.
    entries_now = document["resource"]["aws_eks_access_entry"]
    names = {name: f"administrator_{(OPS, DATA).index(entry['principal_arn'])}" for name, entry in entries_now.items()}
    for kind in ("aws_eks_access_entry", "aws_eks_access_policy_association"):
        document["resource"][kind] = {names[name]: found for name, found in document["resource"][kind].items()}
    for name, resource in document["resource"]["aws_eks_access_policy_association"].items():
        resource["principal_arn"] = f"${{aws_eks_access_entry.{name}.principal_arn}}"
    cluster = document["resource"]["aws_eks_cluster"]["cluster"]
    cluster["access_config"]["bootstrap_cluster_creator_admin_permissions"] = True
    del document["moved"], cluster["lifecycle"]
    path.write_text(json.dumps(document))
    tf.init(folder)
    tf.apply(folder)

    compute(administered(OPS, DATA), tmp_path, ground)
    assert tf.changes(folder) == {}
    compute(administered(DATA), tmp_path, ground)
    tf.apply(folder)
    assert entries(account, [DATA])


def test_mail_addresses_and_buckets_are_independent_of_their_order(
    terraform: Terraform, account: MotoServer, tmp_path: Path
) -> None:
    def plan(emails: list[str], paths: list[str]) -> Plan:
        links = [{"bucket": f"s3://corpus{path.replace('/', '-')}", "path": path} for path in paths]
        return example_plan(
            spec={"observability": {"notify": emails}, "storage": {"lustre": {"data_repositories": links}}}
        )

    def addresses(emails: list[str], paths: list[str], name: str) -> set[str]:
        documents = synthesize(plan(emails, paths), tmp_path / name)
        return {
            *documents["compute"]["resource"]["aws_sns_topic_subscription"],
            *documents["storage"]["resource"]["aws_fsx_data_repository_association"],
        }

    all_of_them = addresses(["a@example.com", "b@example.com"], ["/web", "/code"], "all")
    assert addresses(["b@example.com", "a@example.com"], ["/code", "/web"], "turned") == all_of_them
    assert addresses(["b@example.com"], ["/code"], "fewer") < all_of_them
    for role in ("storage", "compute"):
        folder = stack_folder(tmp_path / "all", plan([], []), role)
        terraform.init(folder, backend=False)
        assert terraform.validate(folder) == []
