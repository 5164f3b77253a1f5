"""checkov on plans of stacks: no finding without a reason beside the resource, no reason without a finding.

checkov brings about a hundred packages of its own, which `make tools` keeps in an environment of their own.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support import processes

RUN_TIMEOUT_S = 600
"""Time limit in seconds; a run over half of the matrix takes about 30 s."""

Finding = tuple[str, str, str]
"""Name of the stack, address of the resource, number of the check."""

# Every rule is in the package. A proxy that nobody answers for turns an attempt to look elsewhere into an error.
_NOWHERE = "http://127.0.0.1:9"
_OFFLINE = {"CKV_SKIP_PACKAGE_UPDATE_CHECK": "TRUE", "HTTP_PROXY": _NOWHERE, "HTTPS_PROXY": _NOWHERE, "NO_PROXY": ""}
_ONES_OWN = ("BC_", "CKV_", "CHECKOV_", "PRISMA_")
"""Prefixes of environment variables that carry a user's account or settings."""


def command() -> str | None:
    """Return the checkov of `make tools`, or else the one on PATH."""
    of_tools = Path(sys.prefix, "tools", "checkov", "bin", "checkov")
    return str(of_tools) if of_tools.exists() else shutil.which("checkov")


def accepted(documents: Mapping[str, Mapping[str, Any]]) -> dict[Finding, str]:
    """Return the findings that documents by stack accept, with their reasons."""
    return {
        (stack, f"{kind}.{name}", check): reason
        for stack, document in documents.items()
        for kind, resources in document.get("resource", {}).items()
        for name, resource in resources.items()
        for check, reason in resource.get("//", {}).get("checkov", {}).items()
    }


def findings(checkov: str, plans: Mapping[str, Mapping[str, Any]], folder: Path) -> set[Finding]:
    """What checkov fails in plans by stack, as `terraform show -json` prints them.

    Raises:
        RuntimeError: checkov did not run, or did not read every plan.
    """
    files = []
    for stack, plan in plans.items():
        path = folder / f"{stack}.json"
        path.write_text(json.dumps(plan))
        files += ["-f", str(path)]
    flags = ["--quiet", "--compact", "--skip-download", "--framework", "terraform_plan", "--output", "json"]
    env = {name: value for name, value in os.environ.items() if not name.startswith(_ONES_OWN)} | _OFFLINE
    done = processes.run([checkov, *flags, *files], cwd=folder, env=env, timeout_s=RUN_TIMEOUT_S)
    if not done.stdout.strip():
        raise RuntimeError(f"checkov printed no report:\n{done.stderr}")
    report = json.loads(done.stdout)
    if "summary" not in report or report["summary"]["parsing_errors"]:
        raise RuntimeError(f"checkov did not read every plan:\n{done.stdout}\n{done.stderr}")
    return {
        (Path(failed["file_path"]).stem, failed["resource"], failed["check_id"])
        for failed in report["results"]["failed_checks"]
    }
