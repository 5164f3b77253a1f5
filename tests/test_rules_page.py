"""docs/rules.md defines every rule that the repository cites, and messages say rules in words."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "rules.md"
PACKAGES: Final = ("provider_catalog", "planner", "cdk", "stacks", "llmcluster")
CITING: Final = (*PACKAGES, "tests", "benchmarks", "docs", "clusters")
SUFFIXES: Final = {".py", ".md", ".yaml", ".j2"}

CODE: Final = re.compile(r"\b[AZ][1-9][0-9]?\b")
TEST_NAME: Final = re.compile(r"\bdef test_([az][1-9][0-9]?)_(?:([az][1-9][0-9]?)_)?")
ROW: Final = re.compile(r"^\| ([AZ][1-9][0-9]?) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
BARE: Final = re.compile(r"\brules? [AZ][1-9]|\([AZ][1-9][0-9]?\)")


def defined() -> dict[str, tuple[str, str]]:
    """Text and source of each rule by its code."""
    return {code: (rule.strip(), source.strip()) for code, rule, source in ROW.findall(PAGE.read_text())}


def cited() -> Iterator[tuple[str, str]]:
    """Every file that cites a rule, with the code."""
    files = [*ROOT.glob("*.md"), *(file for folder in CITING for file in (ROOT / folder).rglob("*"))]
    for file in files:
        if file.suffix in SUFFIXES and file != PAGE:
            text = file.read_text()
            codes = {*CODE.findall(text), *(code.upper() for pair in TEST_NAME.findall(text) for code in pair if code)}
            yield from ((str(file.relative_to(ROOT)), code) for code in sorted(codes))


def literals(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every string literal that is no docstring, parts of f-strings among them."""
    tree = ast.parse(source)
    documentation = {
        id(statement.value) for statement in ast.walk(tree) if isinstance(statement, ast.Expr)
    }  # A string that stands alone documents what is above it.
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


def test_every_cited_rule_is_defined() -> None:
    rules, found = defined(), list(cited())
    assert {"A1", "A7", "Z1"} <= {code for _, code in found}
    assert [(file, code) for file, code in found if code not in rules] == []


def test_every_rule_is_on_one_line_with_a_source() -> None:
    rules = defined()
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\| [AZ]\d", line)]
    assert len(lines) == len(rules)
    assert list(rules) == [*(f"A{n}" for n in range(1, 21)), *(f"Z{n}" for n in range(1, 11))]
    assert all(rule.endswith(".") and len(source) > 10 for rule, source in rules.values())


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_messages_say_the_rule_and_not_its_code(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    shown = [
        f"{file.relative_to(ROOT)}:{line}: {text}"
        for file in files
        for line, text in literals(file.read_text())
        if BARE.search(text)
    ]
    assert shown == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('raise ValueError(f"{n} nodes do not fit (rule Z1)")', True),
        ('raise ValueError("one market (A8); drop one")', True),
        ('def f():\n    """Rule A7: one market (rule A8)."""', False),
        ('LIMIT = 100\n"""VMs in one placement group (rule Z1)."""', False),
        ('gpu = "A10"', False),
    ],
)
def test_codes_are_found_in_messages_and_allowed_in_documentation(source: str, found: bool) -> None:
    assert any(BARE.search(text) for _, text in literals(source)) is found
