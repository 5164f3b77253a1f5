"""Writes the table of changes: what Terraform does to a running AWS cluster when a field of its spec changes.

`python -m benchmarks.aws_changes` applies a cluster of each orchestrator to a local AWS (moto), plans every change of
tests/support/aws_changes.py with the real provider, and writes stacks/aws/changes.yaml.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support import aws_moto
from tests.support.aws_changes import BASES, BY_CONSTRUCTION, LivingCluster, rows
from tests.support.moto_server import serve
from tests.support.terraform import Terraform

TABLE: Final = Path(__file__).parents[1] / "stacks" / "aws" / "changes.yaml"
HEADER: Final = """\
# What Terraform does to a running AWS cluster when a field of its spec, or a decision of its plan, changes.
# `python -m benchmarks.aws_changes` writes this file from plans of the AWS provider against a local AWS.
"""


def main(orchestrators: list[str]) -> None:
    """Renews the rows of `orchestrators`; of all, if none is named."""
    chosen = orchestrators or list(BASES)
    found: list[dict[str, Any]] = []
    aws_moto.install()
    with serve() as account:
        for orchestrator in chosen:
            account.reset()
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch)
                cluster = LivingCluster(orchestrator, Terraform(folder), account, folder / orchestrator)
                for row in rows(orchestrator, cluster):
                    print(row, flush=True)
                    found.append(row)
    write(found, chosen)


def write(found: list[dict[str, Any]], orchestrators: list[str]) -> None:
    """Puts the rows that were found in place of those of `orchestrators` in the table."""
    kept = yaml.safe_load(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else []
    table = found + [row for row in kept if row["orchestrator"] not in (*orchestrators, "any")]
    table += [{"field": row["field"], "orchestrator": "any", "when": "any", **row} for row in BY_CONSTRUCTION]
    table.sort(key=lambda row: (row["field"], row["orchestrator"], row["when"]))
    TABLE.write_text(HEADER + yaml.safe_dump(table, sort_keys=False, width=110), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
