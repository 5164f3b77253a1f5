"""Hash of a spec, which a lock records to detect changes of the spec."""

import hashlib
import json

from planner.spec import ClusterSpec


def spec_sha256(spec: ClusterSpec) -> str:
    """Returns the SHA-256 of the fields that differ from their defaults, as canonical JSON.

    The hours of a demand file are part of it. Key order, comments, fields that repeat their default, and fields that
    later versions add do not change the hash.
    """
    changed = spec.model_dump(mode="json", exclude_defaults=True)
    canonical = json.dumps(changed, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
