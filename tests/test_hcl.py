"""`readable_hcl` repairs what cdktf renders wrongly as HCL; other modules run `terraform fmt` on whole stacks."""

import re

import pytest

from stacks.hcl import readable_hcl


def test_defaults_that_are_false_zero_or_empty_are_written() -> None:
    rendered = (
        'variable "off" {\ntype = bool\n}\nvariable "none" {\ntype = number\n}\nvariable "empty" {\ntype = string\n}'
    )
    document = {"variable": {"off": {"default": False}, "none": {"default": 0}, "empty": {"default": ""}}}
    hcl = readable_hcl(rendered, document)
    assert [line.split()[-1] for line in hcl.splitlines() if line.startswith("  default")] == ["false", "0", '""']


def test_a_variable_without_a_default_stays_without() -> None:
    rendered = 'variable "asked" {\ntype = bool\n}'
    assert "default" not in readable_hcl(rendered, {"variable": {"asked": {"type": "bool"}}})


def test_the_version_of_terraform_is_written() -> None:
    rendered = 'terraform {\nbackend "local" {\npath = "x"\n}\n\n  0 = "required_version"\n}\n'
    assert readable_hcl(rendered, {"terraform": {"required_version": ">= 1.10"}}) == (
        'terraform {\n  required_version = ">= 1.10"\n\n  backend "local" {\n    path = "x"\n  }\n}\n'
    )


def test_scripts_stand_behind_what_is_read_first() -> None:
    rendered = 'locals {\nscript = <<EOF\nrun() {\nlocals {\n}\nEOF\n}\nresource "x" "y" {\na = "${local.script}"\n}'
    assert readable_hcl(rendered, {}) == (
        'resource "x" "y" {\n  a = local.script\n}\n\nlocals {\n  script = <<EOF\nrun() {\nlocals {\n}\nEOF\n}\n'
    )


def test_conditions_are_blocks() -> None:
    rendered = (
        'data "x" "y" {\nlifecycle {\npostcondition = [\n{\ncondition = "${self.a}"\nerror_message = "no"\n},\n'
        '{\ncondition = "${self.b}"\nerror_message = "neither"\n}\n]\n}\n}'
    )
    assert readable_hcl(rendered, {}) == (
        'data "x" "y" {\n  lifecycle {\n    postcondition {\n      condition     = self.a\n'
        '      error_message = "no"\n    }\n\n    postcondition {\n      condition     = self.b\n'
        '      error_message = "neither"\n    }\n  }\n}\n'
    )


@pytest.mark.parametrize("ending", ["", "\n"])
@pytest.mark.parametrize("marker", ["EOT", "EOF", "  EOT\t", "EOT\nEOT_"])
def test_text_that_holds_the_marker_of_a_heredoc_stays_text(marker: str, ending: str) -> None:
    resource = 'resource "null_resource" "x" {\n  provisioner "local-exec" {\n    command = "id"\n  }\n}'
    text = f"harmless\n{marker}\n{resource}{ending}"
    document = {"output": {"words": {"value": text}}}
    hcl = readable_hcl(f'output "words" {{\nvalue = <<EOF\n{text}\nEOF\n}}', document)
    [opened] = re.findall(r"<<(\w+)$", hcl, flags=re.MULTILINE)
    lines = hcl.split("\n")
    first = next(index for index, line in enumerate(lines) if line.endswith(f"<<{opened}")) + 1
    # HCL ends a heredoc at the first line that is its marker between blanks.
    last = next(index for index, line in enumerate(lines[first:], first) if line.strip() == opened)
    assert "\n".join(lines[first:last]) == text.removesuffix("\n")
    assert not any(line.startswith("resource") for line in lines[last:])


def test_keys_that_would_end_a_string_are_refused() -> None:
    for key in ('a" = "b', "a\nb", "a\\"):
        with pytest.raises(ValueError, match="holds quotes, a backslash or a line break"):
            readable_hcl("", {"resource": {"x": {"y": {"tags": {key: "value"}}}}})


def test_a_heredoc_that_does_not_end_is_refused() -> None:
    with pytest.raises(ValueError, match="does not end"):
        readable_hcl("locals {\na = <<EOF\nx\n}", {})
