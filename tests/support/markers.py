"""pytest plugin: a test that asks for a fixture of an outside program carries the marker of that program.

Nobody can forget such a marker: the program is only to be had from its fixture (see tests/test_suite_structure.py).
`slow` is the one marker that a test sets itself.
"""

from typing import Final

import pytest

MARKER_OF_FIXTURE: Final = {"terraform": "terraform", "cdktf_cli": "npm"}
"""Markers by the name of the fixture in tests/conftest.py."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by its fixtures, those that other fixtures bring included."""
    for fixture, marker in MARKER_OF_FIXTURE.items():
        if fixture in getattr(item, "fixturenames", ()):
            item.add_marker(marker)
