"""Terraform applies, plans again and destroys the AWS stacks of one cluster, against a local AWS."""

import json
from pathlib import Path

import pytest

from planner.plan.choice import Purchase
from provider_catalog.catalog import Catalog
from stacks.estimate.bill import estimate
from tests.support.aws_stacks import ROLES, stack_folder, synthesize
from tests.support.moto_server import MotoServer
from tests.support.plans import example_plan
from tests.support.terraform import Terraform, TerraformError


def apply(terraform: Terraform, aws: MotoServer, folder: Path) -> None:
    aws.write_override(folder)
    terraform.init(folder)
    terraform.apply(folder)


def assert_states_cost_what_the_documents_do(tf: Terraform, folders: tuple[Path, ...], scratch: Path) -> None:
    usage = scratch / "usage.yaml"
    usage.write_text(
        "{quantities: {nat_data: 200, checkpoint_storage: 1024, flow_logs: 1}, running_share: {spot: 0.5}}"
    )
    states = []
    for folder in folders:
        states.append(scratch / f"{folder.name}.json")
        states[-1].write_text(json.dumps(tf.show_json(folder)))
    (built,) = estimate(states, Catalog.load(), usage=usage)
    (written,) = estimate(folders, Catalog.load(), usage=usage)
    assert built.region == written.region == "us-east-1"
    assert built.not_priced == written.not_priced == ()
    assert built.usd_per_hour_by_role() == pytest.approx(written.usd_per_hour_by_role())
    assert {"compute_reserved", "compute_spot", "compute_on_demand"} <= set(written.usd_per_hour_by_role())


def test_a_mixed_gang_lives_and_dies_and_its_data_stays(
    terraform: Terraform, account: MotoServer, tmp_path: Path
) -> None:
    plan = example_plan(nodes=4, purchase=Purchase(reserved_nodes=2, on_demand_nodes=1, spot_nodes=1))
    synthesize(plan, tmp_path)
    tf = terraform.with_env(account.env)
    network, storage, compute = (stack_folder(tmp_path, plan, role) for role in ROLES)

    for folder in (network, storage, compute):
        apply(tf, account, folder)
    for folder in (network, storage, compute):
        assert tf.changes(folder) == {}, folder.name
    assert_states_cost_what_the_documents_do(tf, (network, storage, compute), tmp_path)

    tf.destroy(compute)
    assert tf.state(compute) == []
    assert "aws_fsx_lustre_file_system.shared" in tf.state(storage)

    with pytest.raises(TerraformError, match="prevent_destroy"):
        tf.destroy(storage)
    synthesize(plan, tmp_path, protect_data=False)
    tf.destroy(storage)
    tf.destroy(network)
    assert tf.state(storage) == tf.state(network) == []
