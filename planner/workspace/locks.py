"""Locked plans: `<spec>.plan.json` beside the spec, committed with it, keeps the decision although prices move."""

import json
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from planner.errors import SpecError
from planner.plan.plan import Plan
from provider_catalog.files import read_text, write_atomically

LOCK_SUFFIX: Final = ".plan.json"


def lock_path(spec_path: Path) -> Path:
    """`clusters/quickstart.yaml` is locked by `clusters/quickstart.plan.json`."""
    return spec_path.with_name(spec_path.stem + LOCK_SUFFIX)


def plan_json(plan: Plan) -> str:
    """A plan as it is locked and as it stands beside each stack: the same bytes for the same plan."""
    return plan.model_dump_json(indent=2) + "\n"


def write_lock(plan: Plan, spec_path: Path) -> Path:
    """Locks `plan` for the spec at `spec_path`; from now on it is synthesized as it stands.

    Raises:
        NothingWrittenError: the lock cannot be written; an older one is untouched.
    """
    path = lock_path(spec_path)
    write_atomically(path, plan_json(plan))
    return path


def read_lock(spec_path: Path, spec_sha256: str) -> Plan | None:
    """The locked plan of the spec at `spec_path`, or None where there is no lock.

    Args:
        spec_path: The spec, not the lock.
        spec_sha256: Hash of the spec as it reads now.

    Raises:
        SpecError: the lock is broken, or the spec has changed since it was locked.
        UnreadableError: the lock is there and cannot be read.
    """
    path = lock_path(spec_path)
    try:
        text = read_text(path)
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise _broken(path, spec_path, "it is not UTF-8 text") from error
    try:
        plan = Plan.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise _broken(path, spec_path, f"{where}: {first['msg']}") from error
    if plan.spec_sha256 != spec_sha256:
        raise SpecError(
            f"{spec_path}: the spec has changed since {path.name} was written "
            f"(spec_sha256 {spec_sha256[:12]}, locked {plan.spec_sha256[:12]}). "
            f"Run `llmcluster plan {spec_path} --lock` to decide anew, restore the spec, or delete the lock"
        )
    return plan


def holds_plan(path: Path) -> bool:
    """Whether a JSON file is meant to be a plan, whole or broken; a document of Terraform has no spec."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "spec_sha256" in document


def read_plan(path: Path) -> Plan:
    """The plan in a file: a lock, or the plan.json beside a stack.

    Raises:
        SpecError: the file cannot be read, or holds no plan.
    """
    try:
        return Plan.model_validate_json(read_text(path))
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file; name a spec, a locked plan or an output folder of synth") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path}: not UTF-8 text; a plan is a JSON file") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise SpecError(f"{path}: not a plan: {where}: {first['msg']}") from None


def _broken(path: Path, spec_path: Path, what: str) -> SpecError:
    return SpecError(
        f"{path}: not a locked plan: {what}. Run `llmcluster plan {spec_path} --lock` to write it anew, or delete it"
    )
