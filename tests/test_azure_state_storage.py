"""The storage account of the states, as `llmcluster bootstrap-state` writes it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmcluster.cli import cli
from tests.support.azure_schema import problems

# Most of these tests synthesize stacks, which starts Node.
pytestmark = pytest.mark.slow

SPEC = """
name: example
model: {parameters: 7B}
workload: {kind: training, tokens: 1.0e+11}
tags: {team: research}
"""
STATE = {"bucket": "acmestates", "container": "tfstate", "resource_group": "rg-states", "region": "eastus"}


def bootstrap(folder: Path, **state: str | None) -> Any:
    given = {name: value for name, value in {**STATE, **state}.items() if value is not None}
    (folder / "spec.yaml").write_text(SPEC + f"state: {json.dumps({'backend': 'azurerm', **given})}\n")
    return CliRunner().invoke(cli, ["bootstrap-state", str(folder / "spec.yaml"), "--out", str(folder / "out")])


def test_the_states_have_versions_and_no_keys_and_are_reached_by_identities_alone(tmp_path: Path) -> None:
    done = bootstrap(tmp_path)
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "out/stacks/acmestates/cdk.tf.json").read_text())
    assert problems(document) == []
    account = document["resource"]["azurerm_storage_account"]["states"]
    assert (account["name"], account["tags"]["team"]) == ("acmestates", "research")
    assert account["shared_access_key_enabled"] is False
    assert account["local_user_enabled"] is False
    assert account["allow_nested_items_to_be_public"] is False
    assert account["min_tls_version"] == "TLS1_2"
    assert account["network_rules"]["default_action"] == "Deny"
    blobs = account["blob_properties"]
    assert blobs["versioning_enabled"] is True
    assert blobs["delete_retention_policy"]["days"] == blobs["container_delete_retention_policy"]["days"] == 365
    for kind in ("azurerm_storage_account", "azurerm_storage_container", "azurerm_resource_group"):
        assert document["resource"][kind]["states"]["lifecycle"]["prevent_destroy"] is True
    # Without this role not even the owner of the account may write a blob, and the first `terraform init` fails.
    (writer,) = document["resource"]["azurerm_role_assignment"].values()
    assert writer["role_definition_name"] == "Storage Blob Data Contributor"
    # Its own state cannot live in the account that it makes.
    assert document["terraform"]["backend"] == {"local": {"path": "../../../state/acmestates.tfstate"}}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("region", None, "state.region: missing"),
        ("bucket", "acme-states", "state.bucket is 'acme-states', which Azure refuses"),
        ("bucket", "ab", "3 to 24 lower-case letters and digits"),
        ("container", "tf--state", "state.container is 'tf--state'"),
        ("resource_group", "rg.", "state.resource_group is 'rg.'"),
    ],
)
def test_values_that_azure_would_refuse_are_spec_errors(
    field: str, value: str | None, message: str, tmp_path: Path
) -> None:
    done = bootstrap(tmp_path, **{field: value})
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "out").exists()
