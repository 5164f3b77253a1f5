"""Suggestions for misspelt names."""

import pytest

from provider_catalog.suggestions import did_you_mean, nearest_names, question

REGIONS = ("us-east-1", "us-east-2", "eu-west-1", "swedencentral")


@pytest.mark.parametrize(
    ("given", "nearest"), [("us-eastt-1", "us-east-1"), ("swedncentral", "swedencentral"), ("eu-west1", "eu-west-1")]
)
def test_one_slip_leads_to_the_name(given: str, nearest: str) -> None:
    assert nearest_names(given, REGIONS) == [nearest]
    assert did_you_mean(given, REGIONS) == f"did you mean {nearest!r}? "


def test_an_unrelated_name_suggests_nothing() -> None:
    assert nearest_names("q", REGIONS, at_most=3) == []
    assert did_you_mean("q", REGIONS) == ""


def test_several_names_are_joined_by_or() -> None:
    assert question([]) == ""
    assert question(["a", "b"]) == "did you mean 'a' or 'b'? "
    assert question(["a", "b", "c"]) == "did you mean 'a', 'b' or 'c'? "


def test_a_name_that_is_known_twice_is_suggested_once() -> None:
    assert nearest_names("us-east-1", ["us-east-1", "us-east-1", "us-east-2"], at_most=3) == ["us-east-1", "us-east-2"]
