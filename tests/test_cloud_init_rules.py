"""User data against the rules of cloud-init's own schema, for the modules in use.

Source of the rules: canonical/cloud-init, cloudinit/config/schemas/schema-cloud-config-v1.json, cc_write_files and
cc_runcmd (versions 22 to 25 agree on them). cloud-init is not on PyPI: on a machine that has it (`apt-get install
cloud-init`) its whole schema is held against the user data too.
"""

import gzip
import json
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml

from cdk.bootstrap import NodeBootstrap, cloud_init
from tests.support.nodes import EVERYTHING, NODES

TEXT: Final = {"type": "string"}
ENCODINGS: Final = ("b64", "base64", "gz", "gzip", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64")
INSTALLED: Final = Path("/usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json")
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "write_files": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["path"],
                "properties": {
                    "path": TEXT,
                    "content": TEXT,
                    "owner": TEXT,
                    "permissions": {"type": "string", "pattern": "^0[0-7]{3}$"},
                    "encoding": {"enum": ["text/plain", *ENCODINGS]},
                    "append": {"type": "boolean"},
                    "defer": {"type": "boolean"},
                },
            },
        },
        "runcmd": {
            "type": "array",
            "minItems": 1,
            "items": {"oneOf": [{"type": "array", "items": TEXT}, TEXT, {"type": "null"}]},
        },
    },
}


@pytest.mark.parametrize("node", NODES.values(), ids=list(NODES))
def test_user_data_keeps_the_schema_of_cloud_init(node: NodeBootstrap) -> None:
    document = yaml.safe_load(cloud_init(node))
    jsonschema.validate(document, SCHEMA)
    if INSTALLED.exists():
        jsonschema.Draft4Validator(json.loads(INSTALLED.read_text())).validate(document)


def test_keys_that_cloud_init_does_not_know_are_found() -> None:
    with pytest.raises(jsonschema.ValidationError, match="mode"):
        jsonschema.validate({"write_files": [{"path": "/x", "mode": "0644"}]}, SCHEMA)
    with pytest.raises(jsonschema.ValidationError, match="644"):
        jsonschema.validate({"write_files": [{"path": "/x", "permissions": 644}]}, SCHEMA)


@pytest.mark.parametrize("node", NODES.values(), ids=list(NODES))
def test_a_second_run_writes_the_same_files_and_starts_the_same_units(node: NodeBootstrap) -> None:
    document = yaml.safe_load(cloud_init(node))
    assert not any(file.get("append") for file in document["write_files"])
    paths = [file["path"] for file in document["write_files"]]
    assert len(paths) == len(set(paths))
    # Each of these does nothing when it has been done.
    assert {(command[0], command[1]) for command in document["runcmd"]} == {
        ("systemctl", "daemon-reload"),
        ("systemctl", "enable"),
        ("systemctl", "start"),
    }


def test_user_data_that_is_too_long_as_text_fits_when_compressed() -> None:
    # EC2 user guide, "Run commands at launch": 16 KB, before base64.
    text = cloud_init(EVERYTHING).encode()
    assert len(text) > 16_384 > 1.5 * len(gzip.compress(text, mtime=0))
