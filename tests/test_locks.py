"""Locked plans: their content, the versions that are read, and the refusal of edited locks."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planner.errors import SpecError
from planner.launch.launch_files import launch_files, launch_of
from planner.plan.plan import PLAN_SCHEMA_VERSION, Plan
from planner.search.optimizer import plan as make_plan
from planner.spec import ClusterSpec
from planner.spec.hash import spec_sha256
from planner.workspace.locks import lock_path, plan_json, read_lock, read_plan, write_lock
from planner.workspace.specs import LoadedSpec, load_spec
from provider_catalog.catalog import Catalog
from stacks.clouds import BuiltStack
from stacks.sidecar import cost_markdown, stack_cost

CATALOG = Catalog.load()
LOCKS = Path(__file__).parent / "data" / "locks"


@pytest.fixture(scope="module")
def decided() -> Plan:
    loaded = load_spec(LOCKS / "chat.yaml")
    return make_plan(loaded.spec, loaded.architecture, CATALOG)


@pytest.fixture
def spec_path(tmp_path: Path) -> Path:
    return Path(shutil.copy(LOCKS / "chat.yaml", tmp_path / "chat.yaml"))


def locked(spec_path: Path, loaded: LoadedSpec | None = None) -> Plan | None:
    return read_lock(spec_path, loaded or load_spec(spec_path), CATALOG)


def test_lock_is_beside_the_spec_and_contains_the_whole_plan(spec_path: Path, decided: Plan) -> None:
    written = write_lock(decided, spec_path)

    assert written == spec_path.with_name("chat.plan.json")
    assert locked(spec_path) == decided


def test_locking_a_locked_plan_again_gives_the_same_bytes(spec_path: Path, decided: Plan) -> None:
    first = write_lock(decided, spec_path).read_bytes()
    again = locked(spec_path)

    assert again is not None
    assert write_lock(again, spec_path).read_bytes() == first
    assert sorted(path.name for path in spec_path.parent.iterdir()) == ["chat.plan.json", "chat.yaml"]


def test_without_a_lock_there_is_no_plan(spec_path: Path) -> None:
    assert locked(spec_path) is None


def test_changed_spec_is_refused_and_the_message_says_what_changed(spec_path: Path, decided: Plan) -> None:
    write_lock(decided, spec_path)
    spec_path.write_text(spec_path.read_text() + "storage: {keep_on_destroy: false}\n")

    with pytest.raises(SpecError, match="changed since") as refused:
        locked(spec_path)

    assert f"llmcluster plan {spec_path} --lock" in str(refused.value)
    assert "storage.keep_on_destroy is False, locked True" in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"name": "example"}', b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"],
    ids=["empty", "cut off", "a list", "null", "not UTF-8", "fields missing", "deep", "long number"],
)
def test_broken_lock_is_refused_by_name(content: bytes, spec_path: Path) -> None:
    lock_path(spec_path).write_bytes(content)

    with pytest.raises(SpecError) as refused:
        locked(spec_path)

    assert str(lock_path(spec_path)) in str(refused.value)
    assert "--lock" in str(refused.value)
    assert "NoneType" not in str(refused.value)


def test_lock_that_is_a_link_to_another_file_is_not_followed(spec_path: Path, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-secret.json"
    outside.write_text('{"token": "sesame"}')
    lock_path(spec_path).symlink_to(outside)

    with pytest.raises(SpecError, match="symbolic link that leads out of the folder") as refused:
        locked(spec_path)

    assert "sesame" not in str(refused.value)


def test_lock_that_cannot_be_written_leaves_the_older_one(
    spec_path: Path, decided: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = write_lock(decided, spec_path).read_bytes()

    def full(self: Plan, *, indent: int) -> str:
        return "\ud800"  # a lone surrogate has no UTF-8 form: writing fails half-way, as on a full disk

    monkeypatch.setattr(Plan, "model_dump_json", full)
    with pytest.raises(UnicodeEncodeError):
        write_lock(decided, spec_path)

    assert lock_path(spec_path).read_bytes() == older
    assert sorted(path.name for path in spec_path.parent.iterdir()) == ["chat.plan.json", "chat.yaml"]


def test_a_name_too_long_for_a_lock_is_wrong_input(tmp_path: Path, decided: Plan) -> None:
    with pytest.raises(SpecError, match="too long for a lock"):
        write_lock(decided, tmp_path / f"{'a' * 250}.yaml")


# The hash and the versions


def test_hash_covers_the_fields_that_differ_from_defaults() -> None:
    smallest = {"name": "chat", "model": "x", "workload": {"kind": "inference"}}
    spelled_out = {**smallest, "storage": {"scratch": "raid0"}, "tags": {}}
    other = {**smallest, "storage": {"scratch": "none"}}

    class Later(ClusterSpec):
        """A later version of the spec, with an additional field."""

        colour: str = "red"

    sha256 = spec_sha256(ClusterSpec.model_validate(smallest))
    assert spec_sha256(ClusterSpec.model_validate(spelled_out)) == sha256
    assert spec_sha256(ClusterSpec.model_validate(other)) != sha256
    assert spec_sha256(Later.model_validate(smallest)) == sha256
    assert spec_sha256(Later.model_validate({**smallest, "colour": "blue"})) != sha256


def test_hash_covers_the_hours_of_a_demand_file(tmp_path: Path) -> None:
    path = tmp_path / "chat.yaml"
    path.write_text((LOCKS / "chat.yaml").read_text() + "capacity: {demand: hours.csv}\n")
    hashes = set()
    for peak in (1, 2):
        lines = ["hour,demand", *(f"{hour},{peak if hour == 5 else 1}" for hour in range(8760))]
        (tmp_path / "hours.csv").write_text("\n".join(lines))
        hashes.add(spec_sha256(load_spec(path).spec))
    assert len(hashes) == 2


def test_a_plan_reads_as_its_spec_does() -> None:
    """A plan writes out defaults of its spec, such as a deadline after the next update, which must stay valid."""
    document = {
        "name": "again",
        "model": "x",
        "workload": {"kind": "training", "tokens": 1e9, "every_days": 7},
    }
    spec = ClusterSpec.model_validate(document)
    again = ClusterSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert spec_sha256(again) == spec_sha256(spec)


@pytest.mark.parametrize("name", ["before-versions", "966d0d1", "367613a"])
def test_locks_of_earlier_commits_are_read_and_migrated(name: str, spec_path: Path) -> None:
    """Each lock was written by the commit of its name; before-versions by the last one without schema versions."""
    lock = LOCKS / f"{name}.plan.json"
    shutil.copy(lock, lock_path(spec_path))

    plan = locked(spec_path)

    assert plan is not None
    assert plan.schema_version == PLAN_SCHEMA_VERSION
    assert plan.choice.model_dump(mode="json", exclude_unset=True) == json.loads(lock.read_text())["choice"]
    assert plan.spec_sha256 == spec_sha256(load_spec(spec_path).spec)
    write_lock(plan, spec_path)
    assert locked(spec_path) == plan


def test_a_lock_whose_defaults_have_changed_is_refused_with_that_reason(spec_path: Path) -> None:
    """Between b4849f6 and today the default of capacity.commitment went from 1-year to none."""
    shutil.copy(LOCKS / "b4849f6.plan.json", lock_path(spec_path))

    with pytest.raises(SpecError) as refused:
        locked(spec_path)

    assert "written by an older llmcluster" in str(refused.value)
    assert "capacity.commitment is 'none', locked '1-year'" in str(refused.value)
    assert f"llmcluster plan {spec_path} --lock" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema_version": PLAN_SCHEMA_VERSION + 1}, "written by a newer llmcluster"),
        ({"schema_version": "1; id"}, "it must be a whole number"),
        ({"schema_version": 0, "colour": "red"}, "written by an older llmcluster"),
        ({"colour": "red"}, "not a locked plan: colour"),
        ({"spec_sha256": "f" * 64}, "spec_sha256"),
    ],
)
def test_other_versions_are_refused_with_the_true_reason(
    change: dict[str, Any], reason: str, spec_path: Path, decided: Plan
) -> None:
    path = write_lock(decided, spec_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    with pytest.raises(SpecError, match=reason):
        locked(spec_path)


def test_a_plan_file_with_another_spec_in_it_is_no_plan(tmp_path: Path, decided: Plan) -> None:
    document = json.loads(plan_json(decided))
    document["spec"]["storage"]["keep_on_destroy"] = False
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(document))
    with pytest.raises(SpecError, match="spec_sha256 is not the hash of the spec"):
        read_plan(path)


# An edited lock


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "../../x"),
        ("choice.region", "us-east-1; command; #"),
        ("choice.instance_type", "p5.48xlarge"),
        ("choice.provider", "azure"),
        ("choice.nodes", -5),
        ("choice.nodes", 10**6),
        ("choice.purchase.spot_nodes", 1),
        ("choice.purchase.capacity_block_nodes", 1),
        ("choice.layout.tensor", 0),
        ("choice.layout.data", 10**9),
        ("choice.gpus", 10**5),
        ("choice.shared_storage", None),
        ("choice.shared_storage.size_gib", 1),
        ("spec.storage.keep_on_destroy", False),
        ("spec.tags.team", "${file(1)}"),
        ("spec.security.permissions_boundary", "arn:aws:iam::123456789012:policy/x"),
        ("spec.network.egress", "endpoints-only"),
        ("model.name", "$(id)"),
        ("cost.usd_per_hour", 0.01),
        ("cost.usd_per_month", 1.0),
        ("software.source", "a\nid"),
        ("memory_per_gpu.total_bytes", 1),
        ("performance.kind", "training"),
    ],
)
def test_an_edit_that_would_reach_what_is_built_is_refused(
    path: str, value: object, spec_path: Path, decided: Plan
) -> None:
    document = json.loads(plan_json(decided))
    put(document, path.split("."), value)
    lock_path(spec_path).write_text(json.dumps(document))
    with pytest.raises(SpecError):
        locked(spec_path)


HOSTILE: tuple[object, ...] = (
    "../../x",
    "; touch /tmp/x; #",
    "$(touch /tmp/x)",
    "`id`",
    "${file(1)}",
    "a\ntouch /tmp/x",
    "\x1b[2J",
    '"; id; "',
    -5,
    10**30,
    1e300,
    None,
    True,
    [],
    {"a": 1},
)


@pytest.mark.slow
def test_no_edit_of_one_value_reaches_a_script_or_a_stack(spec_path: Path, decided: Plan) -> None:
    """Edits each value of a lock in turn: the lock is refused, or only texts and figures of reports change."""
    loaded = load_spec(spec_path)
    whole = json.loads(plan_json(decided))
    edits = [(path, value) for path in leaves(whole) for value in HOSTILE]
    taken: dict[tuple[str, ...], Plan] = {}
    messages: list[str] = []
    for path, value in edits:
        document = json.loads(plan_json(decided))
        put(document, path, value)
        lock_path(spec_path).write_text(json.dumps(document))
        try:
            plan = locked(spec_path, loaded)
        except SpecError as error:
            messages.append(str(error))
            continue
        assert plan is not None
        assert plan.spec == loaded.spec
        if isinstance(value, str):
            taken.setdefault(path, plan)
        if path[0] == "choice":
            assert plan.choice == decided.choice or path[-1] in OPTIONAL, path
    assert len(edits) > 3000
    assert all(message.isprintable() and "NoneType" not in message for message in messages)
    assert taken, "texts of reports are not restricted"
    for path, plan in taken.items():
        assert path[0] in FREE_TEXT or path[-1] == "reason", path
        assert commands(plan, loaded) == commands(decided, loaded), path
        assert "\n" not in path[-1]


OPTIONAL = {"reason", "zone", "multi_node", "sequence_parallel", "inside_gb_per_s", "between_gb_per_s"}
"""Fields of the choice that this spec does not determine: texts, zone, placement group, and burn-in thresholds."""
FREE_TEXT = {
    "alternatives", "catalog", "cost", "notes", "rejected", "performance", "model", "memory_per_gpu", "software",
    "topology", "choice",
}  # fmt: skip


def commands(plan: Plan, loaded: LoadedSpec) -> list[str]:
    """Returns the lines of the launch script without comments."""
    files = launch_files(launch_of(plan, loaded.architecture, CATALOG))
    return [line for text in files.values() for line in text.splitlines() if not line.startswith("#")]


def test_words_of_a_lock_make_no_markup_in_the_bill(decided: Plan) -> None:
    hostile = "x | y <img src=x> [a](https://b) @everyone"
    item = decided.cost.items[0].model_copy(update={"name": hostile})
    cost = decided.cost.model_copy(update={"items": (item, *decided.cost.items[1:])})
    built = BuiltStack(item.stack, stack=None)  # type: ignore[arg-type]
    shown = cost_markdown(stack_cost(decided.model_copy(update={"cost": cost}), built))
    plain = cost_markdown(stack_cost(decided, built))
    assert shown.replace("\\|", "").count("|") == plain.replace("\\|", "").count("|")
    assert "<img" not in shown
    assert "@everyone" not in shown
    assert "](" not in shown.replace("\\](", "")


def leaves(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yields the path of every scalar value; in lists only below the first and the last element."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list) and value:
        for index in sorted({0, len(value) - 1}):
            yield from leaves(value[index], (*path, str(index)))
    else:
        yield path


def put(document: Any, path: Any, value: object) -> None:
    """Sets the value at a path."""
    for key in path[:-1]:
        document = document[int(key)] if isinstance(document, list) else document.setdefault(key, {})
    if isinstance(document, list):
        document[int(path[-1])] = value
    else:
        document[path[-1]] = value
