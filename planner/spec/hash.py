"""The hash of a spec, which a lock is checked against."""

import hashlib
import json

from planner.spec import ClusterSpec


def spec_sha256(spec: ClusterSpec) -> str:
    """SHA-256 of the spec in canonical JSON: key order, comments and spelled-out defaults do not change it."""
    canonical = json.dumps(spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
