"""README.md and docs/ show our current output; `make docs` renews them."""

import re

import pytest

from tests.support import shown


@pytest.mark.slow
def test_readme_shows_what_the_demonstration_prints() -> None:
    text = shown.README.read_text()
    assert shown.readme(text) == text, "make docs"


@pytest.mark.slow
def test_the_page_about_planning_shows_the_detailed_report() -> None:
    text = shown.PLANNING.read_text()
    assert shown.planning(text) == text, "make docs"


@pytest.mark.slow
def test_the_annotated_compute_stack_is_the_one_written() -> None:
    text = shown.COMPUTE_STACK.read_text()
    assert text.count("```hcl") >= 5
    assert shown.compute_stack(text) == text, "make docs"


@pytest.mark.slow
def test_a_block_that_differs_is_renewed_or_reported() -> None:
    text = shown.COMPUTE_STACK.read_text()
    whole, part = ('strategy = "cluster"', "desired_capacity          = 108")
    assert text.count(whole) == text.count(part) == 1
    assert shown.compute_stack(text.replace(whole, 'strategy = "spread"')) == text
    with pytest.raises(shown.ShownError, match=re.escape('resource "aws_autoscaling_group" "reserved"')):
        shown.compute_stack(text.replace(part, "desired_capacity          = 107"))
