"""The hash of a spec, which a lock is checked against."""

import hashlib
import json

from planner.spec import ClusterSpec


def spec_sha256(spec: ClusterSpec) -> str:
    """SHA-256 of what a spec says beside the defaults, in canonical JSON, with the hours of a demand file in it.

    Key order, comments and spelled-out defaults do not change it, and neither do fields that later versions add.
    """
    said = spec.model_dump(mode="json", exclude_defaults=True)
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
