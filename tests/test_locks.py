from pathlib import Path

import pytest

from planner.errors import SpecError
from planner.plan.plan import Plan
from planner.workspace.locks import lock_path, read_lock, write_lock
from tests.support.plans import example_plan


@pytest.fixture
def spec_path(tmp_path: Path) -> Path:
    return tmp_path / "example.yaml"


def test_lock_stands_beside_the_spec_and_holds_the_whole_plan(spec_path: Path) -> None:
    plan = example_plan()

    written = write_lock(plan, spec_path)

    assert written == spec_path.with_name("example.plan.json")
    assert read_lock(spec_path, plan.spec_sha256) == plan


@pytest.mark.parametrize("provider", ["aws", "azure"])
def test_lock_of_a_lock_is_the_same_bytes(provider: str, spec_path: Path) -> None:
    plan = example_plan(provider)
    first = write_lock(plan, spec_path).read_bytes()
    again = read_lock(spec_path, plan.spec_sha256)

    assert again is not None
    assert write_lock(again, spec_path).read_bytes() == first
    assert [path.name for path in spec_path.parent.iterdir()] == ["example.plan.json"]


def test_without_a_lock_there_is_no_plan(spec_path: Path) -> None:
    assert read_lock(spec_path, "0" * 64) is None


def test_changed_spec_is_refused_and_the_message_says_what_to_run(spec_path: Path) -> None:
    write_lock(example_plan(), spec_path)

    with pytest.raises(SpecError, match="changed since") as refused:
        read_lock(spec_path, "f" * 64)

    assert f"llmcluster plan {spec_path} --lock" in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"name": "example"}'],
    ids=["empty", "cut off", "a list", "null", "not UTF-8", "fields missing"],
)
def test_broken_lock_is_refused_by_name(content: bytes, spec_path: Path) -> None:
    lock_path(spec_path).write_bytes(content)

    with pytest.raises(SpecError, match="not a locked plan") as refused:
        read_lock(spec_path, "0" * 64)

    assert str(lock_path(spec_path)) in str(refused.value)


def test_lock_of_a_newer_version_with_unknown_fields_is_refused_not_misread(spec_path: Path) -> None:
    path = write_lock(example_plan(), spec_path)
    path.write_text(path.read_text().replace('"name"', '"colour": "red",\n  "name"', 1))

    with pytest.raises(SpecError, match="colour"):
        read_lock(spec_path, "0" * 64)


def test_lock_that_cannot_be_written_leaves_the_older_one(spec_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = write_lock(example_plan(), spec_path).read_bytes()

    def full(self: Plan, *, indent: int) -> str:
        return "\ud800"  # a lone surrogate has no UTF-8 form: writing fails half-way, as on a full disk

    monkeypatch.setattr(Plan, "model_dump_json", full)
    with pytest.raises(UnicodeEncodeError):
        write_lock(example_plan(), spec_path)

    assert lock_path(spec_path).read_bytes() == older
    assert [path.name for path in spec_path.parent.iterdir()] == ["example.plan.json"]
