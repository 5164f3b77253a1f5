"""Files appear whole or not at all, and messages say so only where it is true."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llmcluster.cli import cli
from planner.errors import failure
from provider_catalog.errors import NothingWrittenError, UnreadableError
from provider_catalog.files import publish, staged, write_atomically, write_files

ROOT = Path(__file__).parent.parent
SPEC = """
name: chat
model: Qwen/Qwen2.5-7B
workload: {kind: inference, request_rate_per_s: 1}
placement: {providers: [aws], instance_types: [p5.4xlarge]}
"""
OLD = {"a": "old a", "b": "old b", "last": "old"}
NEW = {"a": "new a", "b": "new b", "folder/c": "new c", "last": "new"}


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def replace_all(folder: Path) -> None:
    with staged(folder) as stage:
        write_files(stage, NEW)
        publish({stage: folder}, last="last")


def replace_both(folder: Path, second: Path) -> None:
    with staged(folder) as stage, staged(second) as other:
        write_files(stage, NEW)
        write_files(other, NEW)
        publish({stage: folder, other: second}, last="last")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    for name, text in OLD.items():
        (folder / name).write_text(text)
    return folder


def after(calls: int, error: BaseException, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that works some times and then fails once."""
    made = 0

    def faulty(*arguments: Any, **options: Any) -> Any:
        nonlocal made
        made += 1
        if made == calls + 1:
            raise error
        return function(*arguments, **options)

    return faulty


def full() -> OSError:
    return OSError(28, "No space left on device")


def test_publishing_replaces_files_and_keeps_those_that_it_does_not_know(old: Path) -> None:
    (old / ".terraform").write_text("state")
    replace_all(old)
    assert content(old) == {**NEW, ".terraform": "state"}
    assert [path.name for path in old.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("calls", range(len(NEW)))
def test_a_disk_that_is_full_at_any_file_leaves_the_old_ones(
    old: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    monkeypatch.setattr(os, "fsync", after(calls, full(), os.fsync))
    with pytest.raises(NothingWrittenError) as caught:
        replace_all(old)
    assert caught.value.filename == str(old / list(NEW)[calls])
    assert content(old) == OLD
    assert [path.name for path in old.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), KeyboardInterrupt()])
@pytest.mark.parametrize("calls", range(len(NEW)))
def test_a_failure_between_two_renames_takes_them_back(
    old: Path, monkeypatch: pytest.MonkeyPatch, calls: int, error: BaseException
) -> None:
    monkeypatch.setattr(Path, "replace", after(calls, error, Path.replace))
    expected = NothingWrittenError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        replace_all(old)
    assert content(old) == OLD
    assert sorted(path.name for path in old.iterdir()) == sorted(OLD)


def test_two_folders_are_published_together_or_not_at_all(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = old.parent / "second"
    monkeypatch.setattr(Path, "replace", after(len(NEW) + 1, full(), Path.replace))
    with pytest.raises(NothingWrittenError):
        replace_both(old, second)
    assert content(old) == OLD
    assert not second.exists()


def test_a_file_system_without_hard_links_takes_copies(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, target: Path) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    monkeypatch.setattr(Path, "replace", after(2, full(), Path.replace))
    with pytest.raises(NothingWrittenError):
        replace_all(old)
    assert content(old) == OLD


def test_a_read_only_folder_is_named(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkdtemp", refused)
    monkeypatch.setattr(tempfile, "mkstemp", refused)
    for write in (replace_all, lambda folder: write_atomically(folder / "a", "new")):
        with pytest.raises(NothingWrittenError) as caught:
            write(old)
        code, message = failure(caught.value)
        assert code == 4
        assert str(old) in message and "Read-only file system; nothing was half-written" in message
        assert content(old) == OLD


def test_a_target_that_is_a_folder_is_named(old: Path) -> None:
    (old / "folder" / "c").mkdir(parents=True)
    with pytest.raises(NothingWrittenError, match="is a folder") as caught:
        replace_all(old)
    assert caught.value.filename == str(old / "folder" / "c")
    assert content(old) == OLD


def test_only_staged_writers_promise_that_nothing_is_half_written(tmp_path: Path) -> None:
    message = failure(UnreadableError(21, "Is a directory", str(tmp_path / "folder")))[1]
    assert message == f"error: {tmp_path / 'folder'}: cannot be read: Is a directory"
    assert failure(OSError(5, "Input/output error", "disk"))[1] == "error: disk: Input/output error"


def command(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def launch(folder: Path) -> list[object]:
    return ["launch", folder / "chat.yaml", "--engine", "tensorrt-llm", "--out", folder / "run"]


def test_launch_leaves_the_old_script_when_it_fails_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chat.yaml").write_text(SPEC)
    assert command(*launch(tmp_path)).exit_code == 0
    assert (tmp_path / "run" / "launch.sh").stat().st_mode & 0o111
    before = content(tmp_path / "run")
    assert before.keys() == {"launch.sh", "trtllm.yaml"}
    (tmp_path / "chat.yaml").write_text(SPEC.replace("request_rate_per_s: 1", "request_rate_per_s: 30"))
    monkeypatch.setattr(Path, "replace", after(1, full(), Path.replace))
    result = command(*launch(tmp_path))
    assert result.exit_code == 4
    assert "No space left on device; nothing was half-written" in result.stderr
    assert content(tmp_path / "run") == before


def limited(limit_bytes: int, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Runs the command line where no file can grow beyond a limit: the kernel fails the write half-way."""
    return subprocess.run(
        [sys.executable, "-B", "-m", "llmcluster", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes)),
    )


@pytest.mark.slow
def test_writers_meet_a_limit_of_the_kernel(tmp_path: Path) -> None:
    spec = tmp_path / "chat.yaml"
    spec.write_text(SPEC)
    for arguments in (["plan", spec, "--lock"], launch(tmp_path)):
        finished = limited(100, *arguments)
        assert finished.returncode == 4, finished.stderr
        assert "File too large; nothing was half-written" in finished.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["chat.yaml"]


def test_an_unreadable_lock_is_not_called_half_written(tmp_path: Path) -> None:
    (tmp_path / "chat.yaml").write_text(SPEC)
    (tmp_path / "chat.plan.json").mkdir()
    result = command("cost", tmp_path / "chat.yaml")
    assert result.exit_code == 4
    assert result.stderr == f"error: {tmp_path / 'chat.plan.json'}: cannot be read: Is a directory\n"


def test_a_failed_refresh_replaces_neither_price_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from provider_catalog.catalog import Catalog
    from provider_catalog.live import price_store as store

    held = Catalog.packaged()
    stored = store.StoredPrices(
        tuple(price for price in held.instance_prices if price.provider == "azure"),
        tuple(price for price in held.service_prices if price.provider == "azure"),
    )
    store.write(tmp_path, "azure", stored)
    before = content(tmp_path)
    assert len(before) == 2
    monkeypatch.setattr(Path, "replace", after(1, full(), Path.replace))
    with pytest.raises(NothingWrittenError):
        store.write(tmp_path, "azure", store.StoredPrices(stored.instances[:1], stored.services[:1]))
    assert content(tmp_path) == before


def test_links_in_an_output_folder_are_not_followed(old: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "c").write_text("mine")
    (old / "folder").symlink_to(elsewhere)
    before = content(old)
    with pytest.raises(NothingWrittenError, match="symbolic link"):
        replace_all(old)
    assert content(old) == before
    assert content(elsewhere) == {"c": "mine"}


def test_a_link_in_place_of_a_file_is_replaced(old: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (old / "a").unlink()
    (old / "a").symlink_to(tmp_path / "mine")
    replace_all(old)
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (old / "a").is_symlink()
    assert content(old) == NEW


def test_a_link_is_restored_when_a_later_file_fails(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").write_text("mine")
    (old / "a").unlink()
    (old / "a").symlink_to(tmp_path / "mine")
    monkeypatch.setattr(Path, "replace", after(2, OSError(28, "No space left on device"), Path.replace))
    with pytest.raises(NothingWrittenError):
        replace_all(old)
    assert (old / "a").is_symlink()
    assert (tmp_path / "mine").read_text() == "mine"


def test_the_output_folder_itself_may_be_a_link(old: Path, tmp_path: Path) -> None:
    (tmp_path / "named").symlink_to(old)
    replace_all(tmp_path / "named")
    assert content(old) == NEW
