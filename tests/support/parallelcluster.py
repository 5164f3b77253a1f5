"""AWS ParallelCluster's own schema, from its package, which `make tools` keeps apart from the environment."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

SCHEMA: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "parallelcluster_3_16.json").read_text(encoding="utf-8")
)
"""JSON Schema of a cluster configuration, for tests without the package."""

LOAD = """
import json, sys, yaml
from marshmallow import ValidationError
from pcluster.schemas.cluster_schema import ClusterSchema

problems = {}
for name, text in json.load(sys.stdin).items():
    try:
        ClusterSchema(cluster_name="example").load(yaml.safe_load(text))
    except ValidationError as error:
        problems[name] = str(error.messages)
json.dump(problems, sys.stdout)
"""


def folder() -> Path | None:
    """Return the folder of the package; None if it is not installed."""
    found = Path(os.environ.get("PARALLELCLUSTER") or Path(sys.prefix, "tools", "parallelcluster"))
    return found if (found / "pcluster").is_dir() else None


def problems(package: Path, configurations: Mapping[str, str]) -> dict[str, str]:
    """Return the errors of configurations by name, in the words of `pcluster create-cluster`."""
    # The package looks up reservations when it can; here it has neither credentials nor a way to get some.
    env = {"PYTHONPATH": str(package), "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        input=json.dumps(configurations),
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **env},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the package of ParallelCluster did not start:\n{done.stderr}")
    found: dict[str, str] = json.loads(done.stdout)
    return found
