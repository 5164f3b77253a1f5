"""The documentation refers to pages, headings and files that exist, and its map lists every page."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
DOCS: Final = ROOT / "docs"
PAGES: Final = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])

LINK: Final = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
PATH: Final = re.compile(r"`((?:provider_catalog|planner|cdk|stacks|tests|benchmarks|docs|clusters)/[^`\s]*)`")


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def files(path: str) -> Iterator[str]:
    """The paths that `a/{b,c}.py` stands for."""
    choice = re.search(r"\{([^}]*)\}", path)
    if choice is None:
        yield path
    else:
        yield from (path.replace(choice[0], part) for part in choice[1].split(","))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_pages_and_headings_that_exist(page: Path) -> None:
    broken = []
    for target, heading in LINK.findall(page.read_text()):
        linked = (page.parent / target).resolve() if target else page
        linked = linked / "README.md" if linked.is_dir() else linked
        if not linked.is_file() or (heading and heading not in anchors(linked)):
            broken.append(f"{target}#{heading}")
    assert broken == []


# The changelog may name files of earlier versions.
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_files_that_pages_name_exist(page: Path) -> None:
    named = [path for span in PATH.findall(page.read_text()) if "<" not in span for path in files(span)]
    assert [path for path in named if not list(ROOT.glob(path))] == []


def test_the_map_lists_every_page() -> None:
    listed = {(DOCS / target).resolve() for target, _ in LINK.findall((DOCS / "README.md").read_text()) if target}
    pages = {page for page in DOCS.glob("*.md") if page.name != "README.md"}
    assert pages - listed == set()


def test_the_index_lists_every_decision() -> None:
    records = sorted(page.name for page in (DOCS / "adr").glob("[0-9]*.md"))
    assert records
    assert re.findall(r"\]\((\d{4}-[^)]+)\)", (DOCS / "adr" / "README.md").read_text()) == records
