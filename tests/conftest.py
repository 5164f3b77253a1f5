"""Fixtures shared by the suite.

Terraform on a synthesized stack, against a local AWS::

    def test_network_applies(terraform, aws, tmp_path):
        synthesize(..., outdir=tmp_path)
        stack = tmp_path / "stacks" / "demo-network"
        aws.write_override(stack)                    # path-style S3, beside cdk.tf.json
        tf = terraform.with_env(aws.env)
        tf.init(stack)
        assert tf.validate(stack) == []
        tf.apply(stack)
        assert tf.changes(stack) == {}
        tf.destroy(stack)
        assert tf.state(stack) == []
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import moto_server as moto
from tests.support import terraform as terraform_cli
from tests.support.moto_server import MotoServer
from tests.support.terraform import Terraform

pytest_plugins = ["tests.support.forbid_skips", "tests.support.markers"]

ROOT = Path(__file__).parents[1]

# Without a deadline and with fixed seeds a loaded machine and a second run give the same verdict.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("quick", settings.get_profile("repeatable"), max_examples=10)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# Prices that a developer has refreshed are not those that the tests are about.
os.environ["LLMCLUSTER_PRICES"] = "none"
# Reports take the width of whoever runs the tests from it; without it a pipe has 120 columns.
os.environ.pop("COLUMNS", None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests: first those with Terraform, then slow ones; short ones fill the gaps at the end."""
    items.sort(key=lambda item: (not item.get_closest_marker("terraform"), not item.get_closest_marker("slow")))


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """The Terraform binary with providers from TF_PLUGIN_MIRROR or the registry; skips, with the reason, without."""
    reason = terraform_cli.unavailable_reason()
    if reason:
        pytest.skip(reason)
    return Terraform(tmp_path_factory.mktemp("terraform"))


@pytest.fixture(scope="session")
def cdktf_cli() -> Path:
    """The folder of npm's command line `cdktf`; skips, with the reason, where it is not installed."""
    folder = ROOT / "node_modules" / ".bin"
    if not (folder / "cdktf").exists():
        pytest.skip("cdktf-cli is not installed: `make setup` brings it")
    return folder


@pytest.fixture(scope="session")
def moto_server() -> Iterator[MotoServer]:
    """One local AWS per test process; prefer the fixture ``aws``, which hands it over empty."""
    with moto.serve() as server:
        yield server


@pytest.fixture
def aws(moto_server: MotoServer) -> Iterator[MotoServer]:
    """An empty local AWS with only the account's defaults; internal errors of the server fail the test."""
    moto_server.reset()
    yield moto_server
    moto_server.check()


@pytest.fixture
def account(aws: MotoServer) -> MotoServer:
    """A local AWS with the corrections of moto that our stacks need."""
    from tests.support import aws_moto  # imported here: moto takes seconds to import

    aws_moto.install()
    aws.reset()
    return aws
