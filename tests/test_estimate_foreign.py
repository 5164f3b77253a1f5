"""The bill of AWS documents that somebody else wrote: instances, node groups by instance type, volumes, balancers."""

import json
from pathlib import Path
from typing import Any

import pytest

from provider_catalog.catalog import Catalog
from stacks.estimate.bill import Estimate, estimate

CATALOG = Catalog.packaged()


def bill(folder: Path, resources: dict[str, dict[str, Any]], region: str = "us-east-1") -> Estimate:
    document = {"resource": resources, "provider": {"aws": [{"region": region}]}}
    (folder / "cdk.tf.json").write_text(json.dumps(document))
    (found,) = estimate([folder], CATALOG)
    return found


def lines(found: Estimate) -> dict[str, tuple[float, float | None]]:
    return {line.meter.sku: (line.meter.quantity, line.unit_price_usd) for line in found.lines}


def reasons(found: Estimate) -> list[str]:
    return [reason for _, reason in found.not_priced]


G6 = {"instance_type": "g6.xlarge"}
GP3 = {"volume_type": "gp3", "volume_size": 200}


def test_instances_with_their_disks(tmp_path: Path) -> None:
    gpu = {"instance_type": "g6e.12xlarge", "count": 2, "root_block_device": [GP3], "ebs_block_device": [GP3]}
    found = bill(tmp_path, {"aws_instance": {"worker": gpu}})
    # Infracost bills an instance by the hour and each of its disks by the GiB-month.
    assert lines(found) == {"g6e.12xlarge": (2, 10.49264), "root_disk_gb_month": (800, 0.08)}
    assert found.usd_per_hour == pytest.approx(2 * 10.49264 + 800 * 0.08 / 730)
    assert not found.not_priced


def test_a_spot_instance_is_billed_at_the_spot_price(tmp_path: Path) -> None:
    spot = {"instance_type": "p5.48xlarge", "instance_market_options": [{"market_type": "spot"}],
            "root_block_device": [GP3]}  # fmt: skip
    found = bill(tmp_path, {"aws_instance": {"worker": spot}})
    known = CATALOG.prices.instance("aws", "us-east-1", "p5.48xlarge", "spot")
    assert known is not None
    assert lines(found)["p5.48xlarge"] == (1, known.usd_per_hour)


def test_a_node_group_that_names_its_instance_types(tmp_path: Path) -> None:
    group = {
        "instance_types": ["g6.12xlarge"],
        "disk_size": 100,
        "scaling_config": [{"desired_size": 3, "max_size": 6}],
    }
    found = bill(tmp_path, {"aws_eks_node_group": {"gpu": group}}, "eu-west-3")
    price = CATALOG.prices.instance("aws", "eu-west-3", "g6.12xlarge", "on-demand")
    assert price is not None
    assert lines(found)["g6.12xlarge"] == (3, price.usd_per_hour)
    assert lines(found)["root_disk_gb_month"][0] == 300
    two = {**group, "instance_types": ["g6.12xlarge", "g5.12xlarge"], "capacity_type": "SPOT"}
    del two["disk_size"]
    mixed = bill(tmp_path, {"aws_eks_node_group": {"gpu": two}})
    assert lines(mixed)["root_disk_gb_month"][0] == 60  # 20 GiB a node by default
    assert reasons(mixed) == ["priced as g6.12xlarge, the first of 2 instance types"]


def test_volumes_and_network_load_balancers(tmp_path: Path) -> None:
    found = bill(
        tmp_path,
        {
            "aws_ebs_volume": {"data": {"type": "gp3", "size": 500, "iops": 3000, "throughput": 125}},
            "aws_lb": {"front": {"load_balancer_type": "network"}},
            "aws_lb_listener": {"front": {}},
        },
    )
    assert lines(found) == {"root_disk_gb_month": (500, 0.08), "load_balancer_hour": (1, 0.0225)}
    assert reasons(found) == ["capacity units of the load balancer are billed by use, which no document states"]
    assert [resource.kind for resource in found.free] == ["aws_lb_listener"]


@pytest.mark.parametrize(
    ("kind", "arguments", "reason"),
    [
        ("aws_instance", {"instance_type": "g6.xlarge"}, "size of its root disk is that of its image"),
        (
            "aws_instance",
            {"instance_type": "g6.xlarge", "root_block_device": [{**GP3, "iops": 9000}]},
            "only gp3 disks",
        ),
        (
            "aws_instance",
            {"instance_type": "g6.xlarge", "root_block_device": [{"volume_type": "gp2"}]},
            "only gp3 disks",
        ),
        ("aws_instance", {"instance_type": "g6.xlarge", "tenancy": "dedicated"}, "dedicated tenancy costs more"),
        ("aws_instance", {}, "instance_type is not known before apply"),
        ("aws_ebs_volume", {"size": 100}, "only gp3 disks"),  # gp2 by default
        ("aws_ebs_volume", {"type": "gp3"}, "size is not known before apply"),
        ("aws_lb", {"name": "front"}, "only network load balancers"),
        ("aws_eks_node_group", {"instance_types": ["g6.xlarge"]}, "scaling_config is not known before apply"),
        ("aws_sagemaker_endpoint", {}, "knows no prices for this kind of resource"),
    ],
)
def test_what_cannot_be_priced_is_listed(tmp_path: Path, kind: str, arguments: dict[str, Any], reason: str) -> None:
    found = bill(tmp_path, {kind: {"x": arguments}})
    assert any(reason in given for given in reasons(found)), reasons(found)


def test_a_type_without_a_price_leaves_the_sum_unknown(tmp_path: Path) -> None:
    found = bill(
        tmp_path, {"aws_instance": {"x": {"instance_type": "p5.48xlarge", "root_block_device": [GP3]}}}, "eu-west-3"
    )
    assert found.usd_per_hour is None
    assert [line.meter.sku for line in found.unknown] == ["p5.48xlarge", "root_disk_gb_month"]
