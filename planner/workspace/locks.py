"""Locked plans: the file `<spec>.plan.json`, committed beside the spec, keeps the decision when prices change.

A lock is never trusted, because others can edit the file. The spec in it must equal the current spec, which
replaces it, and the decision must satisfy the rules of `planner.workspace.lock_rules`.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from pydantic import ValidationError

from planner.errors import SpecError
from planner.plan.plan import PLAN_SCHEMA_VERSION, Plan
from planner.spec import ClusterSpec
from planner.spec.hash import spec_sha256
from planner.workspace.lock_rules import broken_values, violations
from planner.workspace.specs import LoadedSpec
from provider_catalog.catalog import Catalog
from provider_catalog.errors import UnreadableError
from provider_catalog.files import write_atomically
from provider_catalog.models import find_preset
from provider_catalog.rules import rule_of_error
from provider_catalog.text import kind_of, one_line, shortened
from provider_catalog.text_files import MissingFileError, UnreadableFileError, read_text_file

LOCK_SUFFIX: Final = ".plan.json"
LARGEST_PLAN_BYTES: Final = 50_000_000
LONGEST_NAME_BYTES: Final = 255
"""Longest file name on Linux and macOS."""
SHOWN_DIFFERENCES: Final = 3
"""Number of changed fields that a message lists."""


def lock_path(spec_path: Path) -> Path:
    """Returns the path of the lock of a spec: `x.plan.json` for `x.yaml`."""
    return spec_path.with_name(spec_path.stem + LOCK_SUFFIX)


def plan_json(plan: Plan) -> str:
    """Returns a plan as JSON, for its lock and for the folder of each stack; equal plans give equal bytes."""
    return plan.model_dump_json(indent=2) + "\n"


def write_lock(plan: Plan, spec_path: Path) -> Path:
    """Locks `plan` for the spec at `spec_path`; later commands use the plan without planning again.

    Raises:
        SpecError: the name of the spec is too long to append the suffix of the lock.
        NothingWrittenError: the lock cannot be written; an older one is untouched.
    """
    path = lock_path(spec_path)
    # write_atomically first writes a temporary file, whose name is longer by 10 characters.
    if len(path.name.encode()) > LONGEST_NAME_BYTES - 10:
        raise SpecError(f"{one_line(spec_path.name)}: the name is too long for a lock beside it; shorten it")
    write_atomically(path, plan_json(plan))
    return path


def read_lock(spec_path: Path, loaded: LoadedSpec, catalog: Catalog) -> Plan | None:
    """Returns the locked plan of the spec at `spec_path`; None if there is no lock.

    Args:
        spec_path: Path of the spec, not of the lock.
        loaded: The current spec, which becomes the spec of the returned plan.
        catalog: Catalog that the decision is checked against; its prices may have changed since.

    Raises:
        SpecError: the lock is broken or edited, has an unsupported version, or the spec has changed since.
        UnreadableError: the lock exists, but the operating system refuses to read it.
    """
    path = lock_path(spec_path)
    lock = _Lock(path, spec_path)
    try:
        document = lock.document(read_text_file(path, largest_bytes=LARGEST_PLAN_BYTES, folder=path.parent))
    except MissingFileError:
        return None
    except UnreadableFileError as error:
        if error.errno is not None:
            raise UnreadableError(error.errno, os.strerror(error.errno), str(path)) from None
        lock.refuse(str(error))
    lock.check_version()
    lock.check_spec(loaded.spec)
    plan = lock.plan(loaded.spec)
    if where := _coerced(document, plan.model_dump(mode="json")):
        lock.refuse(f"{where} has another type than in a plan")
    for violation in _violations(plan, document, loaded, catalog):
        lock.refuse(violation)
    # A lock of an older version is migrated, because its hash was computed differently.
    return plan.model_copy(update={"spec_sha256": spec_sha256(loaded.spec), "schema_version": PLAN_SCHEMA_VERSION})


class _Lock:
    """A lock while it is read: its paths for messages, its version and its document."""

    def __init__(self, path: Path, spec_path: Path) -> None:
        self.path, self.spec_path = path, spec_path
        self.version = 0
        self._document: dict[str, Any] = {}

    def document(self, text: str) -> dict[str, Any]:
        """Parses the text of the lock and returns its document."""
        try:
            self._document = parse_plan(text)
        except ValueError as error:
            self.refuse(str(error))
        return self._document

    def refuse(self, what: str) -> NoReturn:
        """Raises SpecError with a reason; the message of an older lock also states its version."""
        if self.version != PLAN_SCHEMA_VERSION and "schema_version" not in what and self._document:
            raise SpecError(
                f"{self.path}: written by an older llmcluster (schema_version {self.version}, this one writes"
                f" {PLAN_SCHEMA_VERSION}), and cannot be used: {what}. {self.way_out()}"
            )
        raise SpecError(f"{self.path}: not a locked plan: {what}. {self.way_out()}")

    def way_out(self) -> str:
        """Returns what the user can do about a refused lock."""
        return f"Run `llmcluster plan {self.spec_path} --lock` to write it anew, or delete it"

    def check_version(self) -> None:
        """Refuses schema versions that are newer than this program."""
        version = self._document.get("schema_version", 0)
        if not isinstance(version, int) or isinstance(version, bool) or version < 0:
            self.refuse(f"schema_version is {shortened(version)}; it must be a whole number")
        if version > PLAN_SCHEMA_VERSION:
            raise SpecError(
                f"{self.path}: written by a newer llmcluster (schema_version {version}, this one reads up to"
                f" {PLAN_SCHEMA_VERSION}). Update llmcluster. {self.way_out()}"
            )
        self.version = version

    def check_spec(self, now: ClusterSpec) -> None:
        """Refuses the lock if its spec differs from the current spec."""
        try:
            locked = ClusterSpec.model_validate(self._document.get("spec"))
        except ValidationError as error:
            self.refuse(f"spec.{_first(error)}")
        given = now.model_dump(mode="json", exclude_unset=True)
        different = list(_differences(locked.model_dump(mode="json"), now.model_dump(mode="json")))
        unsaid = [text for path, text in different if not _holds(given, path)]
        if different and len(unsaid) == len(different) and self.version < PLAN_SCHEMA_VERSION:
            self.refuse(f"defaults have changed since: {_some(unsaid)}")
        sha256, recorded = spec_sha256(now), self._document.get("spec_sha256")
        if different:
            raise SpecError(
                f"{self.spec_path}: the spec has changed since {self.path.name} was written:"
                f" {_some([text for _, text in different])} (spec_sha256 {sha256[:12]}, locked"
                f" {shortened(recorded)[1:13]}). Run `llmcluster plan {self.spec_path} --lock` to plan again, restore"
                " the spec, or delete the lock"
            )
        if self.version == PLAN_SCHEMA_VERSION and recorded != sha256:
            self.refuse(f"spec_sha256 is {shortened(recorded, 20)}, but the hash of its spec is {sha256[:12]}…")

    def plan(self, spec: ClusterSpec) -> Plan:
        """Returns the plan with `spec` in place of the spec in the lock."""
        try:
            return Plan.model_validate({**self._document, "spec": spec})
        except ValidationError as error:
            self.refuse(_first(error))


def parse_plan(text: str) -> dict[str, Any]:
    """Returns the JSON object of a plan, after checking that its texts and numbers can occur in a plan.

    Raises:
        ValueError: the text is no such object. The message states the reason without content of the file.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON ({error.msg}, line {error.lineno})") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:
        raise ValueError("it contains a number that no plan can contain") from None
    if not isinstance(document, dict):
        raise ValueError(f"it contains {kind_of(document)}, not a JSON object")
    for broken in broken_values(document):
        raise ValueError(one_line(broken[:300]))
    return document


def _coerced(written: object, read: object, path: str = "") -> str | None:
    """Returns the path of the first value that validation changed, such as a text read as a number; else None."""
    if isinstance(written, dict) and isinstance(read, dict):
        # The spec of the lock has already been compared with the current spec.
        inner = ((key, value) for key, value in written.items() if (path, key) != ("", "spec"))
        found = (_coerced(value, read.get(key), f"{path}.{key}".lstrip(".")) for key, value in inner)
        return next(filter(None, found), None)
    if isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        pairs = enumerate(zip(written, read, strict=True))
        return next(filter(None, (_coerced(*pair, f"{path}.{index}") for index, pair in pairs)), None)
    same = written == read and isinstance(written, bool) == isinstance(read, bool)
    return None if same else path


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _violations(plan: Plan, document: Mapping[str, Any], loaded: LoadedSpec, catalog: Catalog) -> Iterator[str]:
    architecture, model = loaded.architecture, loaded.spec.model
    if plan.model.name != architecture.name:
        yield f"model.name is {plan.model.name}, but the model of the spec is {architecture.name}"
    counted = (architecture.total_parameters, architecture.active_parameters)
    if isinstance(model, str) and find_preset(model) is None and counted != _parameters(plan):
        yield f"model has {plan.model.total_parameters:,} parameters, but its configuration now has {counted[0]:,}"
    yield from violations(plan, catalog)


def _parameters(plan: Plan) -> tuple[int, int]:
    return plan.model.total_parameters, plan.model.active_parameters


def _differences(locked: object, now: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yields the path of each field in which two dumps of specs differ, and a description of both values."""
    if isinstance(locked, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys((*locked, *now)):
            yield from _differences(locked.get(key), now.get(key), (*path, str(key)))
    elif locked != now:
        yield path, one_line(f"{'.'.join(path)} is {shortened(now, 40)}, locked {shortened(locked, 40)}")


def _holds(given: object, path: tuple[str, ...]) -> bool:
    """Whether the user gave the field at `path`."""
    for key in path:
        if not isinstance(given, Mapping) or key not in given:
            return False
        given = given[key]
    return True


def _some(different: list[str]) -> str:
    more = len(different) - SHOWN_DIFFERENCES
    return "; ".join(different[:SHOWN_DIFFERENCES]) + (f" and {more} more" if more > 0 else "")


def _first(error: ValidationError) -> str:
    """Returns place and reason of the first error, without the value, because the file may contain secrets."""
    first = error.errors(include_url=False)[0]
    where = one_line(".".join(str(part)[:80] for part in first["loc"])) or "the document"
    return f"{where}: {rule_of_error(first)}"


def holds_plan(path: Path) -> bool:
    """Whether a JSON file is a plan, valid or not; a document of Terraform has no `spec_sha256`."""
    try:
        document = json.loads(read_text_file(path, largest_bytes=LARGEST_PLAN_BYTES, folder=path.parent))
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "spec_sha256" in document


def read_plan(path: Path) -> Plan:
    """Returns the plan in a file: a lock, or the plan.json in the folder of a stack.

    Raises:
        SpecError: the file cannot be read or is not a valid plan.
    """
    try:
        text = read_text_file(path, largest_bytes=LARGEST_PLAN_BYTES, folder=path.parent)
    except MissingFileError as error:
        raise SpecError(f"{path}: {error}; name a spec, a locked plan or an output folder of synth") from None
    except UnreadableFileError as error:
        raise SpecError(f"{path}: {error}; a plan is a JSON file") from None
    try:
        document = parse_plan(text)
    except ValueError as error:
        raise SpecError(f"{path}: not a plan: {error}") from None
    try:
        plan = Plan.model_validate(document)
    except ValidationError as error:
        raise SpecError(f"{path}: not a plan: {_older(document)}{_first(error)}") from None
    if plan.schema_version == PLAN_SCHEMA_VERSION and plan.spec_sha256 != spec_sha256(plan.spec):
        raise SpecError(f"{path}: not a plan: spec_sha256 is not the hash of the spec in it; plan the spec again")
    return plan


def _older(document: Mapping[str, Any]) -> str:
    version = document.get("schema_version", 0)
    return "" if version == PLAN_SCHEMA_VERSION else f"written by another llmcluster (schema_version {version}): "
