"""Names and tags that Azure takes (rule Z9)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdk.azure.resource_names import computer_name_prefix, key_vault_name, storage_account_name
from cdk.azure.tags import checked_tags
from planner.spec import NAME_PATTERN

CLUSTERS = st.from_regex(re.compile(NAME_PATTERN, re.ASCII), fullmatch=True)
SUFFIX = "0123abcd"


@given(cluster=CLUSTERS)
def test_z9_storage_account_name_is_3_to_24_lower_case_alphanumerics(cluster: str) -> None:
    assert re.fullmatch(r"[a-z0-9]{3,24}", storage_account_name(cluster, SUFFIX))


@given(cluster=CLUSTERS)
def test_z9_key_vault_name_is_3_to_24_alphanumerics_and_single_hyphens(cluster: str) -> None:
    name = key_vault_name(cluster, SUFFIX)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]", name)
    assert "--" not in name


@given(cluster=CLUSTERS, purchase=st.sampled_from(["on_demand", "spot", "reserved"]))
def test_z9_host_names_of_a_linux_scale_set_stay_below_64_characters(cluster: str, purchase: str) -> None:
    prefix = computer_name_prefix(cluster, purchase)
    # Azure appends six characters to the prefix.
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,56}[a-z0-9]", prefix)


def test_names_differ_by_the_suffix_so_that_subscriptions_do_not_collide() -> None:
    assert storage_account_name("quickstart", "0" * 8) != storage_account_name("quickstart", "1" * 8)
    assert key_vault_name("quickstart", "0" * 8) != key_vault_name("quickstart", "1" * 8)


def test_a_terraform_expression_may_be_the_suffix() -> None:
    assert storage_account_name("a-very-long-cluster-name", "${local.s}") == "staverylongclust${local.s}"


def test_a_name_of_nothing_usable_is_refused() -> None:
    with pytest.raises(ValueError, match="name: the storage account cannot be named"):
        storage_account_name("--", SUFFIX)


def test_tags_come_back_sorted() -> None:
    assert list(checked_tags({"team": "nlp", "cluster": "r1"})) == ["cluster", "team"]


@pytest.mark.parametrize("tags", [{"cost/center": "7"}, {"": "x"}, {"a": "x" * 257}, {f"t{n}": "" for n in range(51)}])
def test_tags_that_azure_refuses_are_refused_here(tags: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="tags"):
        checked_tags(tags)
