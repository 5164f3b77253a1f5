"""The comparison of two synthesized folders tells a change of wording from every other change."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.byte_identity import compare

BILL: dict[str, Any] = {
    "items": [{"name": "root disks", "sku": "gp3", "unit_price_usd": 0.08, "quantity": 4.0}],
    "notes": ["data through NAT is an estimate"],
}
SCRIPT = '#!/usr/bin/env bash\n# starts a node\n: "${HEAD:?address of the head}"\nexec start --nodes 4\n'
TABLE = "| Item | Resource | USD |\n|---|---|--:|\n| root disks | `aws_ebs_volume.root` | 0.08 |\n"


def verdict(tmp_path: Path, name: str, old: str, new: str) -> str:
    """identical, wording or different: what the comparison finds for one file."""
    for folder, text in (("old", old), ("new", new)):
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    found = compare(tmp_path / "old", tmp_path / "new")[name]
    if not found:
        return "identical"
    return "wording" if all(entry.wording for entry in found) else "different"


def changed(document: dict[str, Any], old: str, new: str) -> str:
    text = json.dumps(document)
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("root disks", "system disks", "wording"),
        ("is an estimate", "is estimated at 50 GB", "wording"),
        ("gp3", "gp2", "different"),
        ("0.08", "0.09", "different"),
        ("4.0", "4", "different"),
        ('["data through NAT is an estimate"]', "[]", "different"),
        ('"quantity"', '"count"', "different"),
        ('{"items"', '{ "items"', "different"),
    ],
)
def test_in_json_only_texts_for_people_may_change(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert verdict(tmp_path, "cost.json", json.dumps(BILL), changed(BILL, old, new)) == expected


def test_a_name_is_wording_in_a_bill_and_an_identifier_in_terraform(tmp_path: Path) -> None:
    bucket = {"resource": {"aws_s3_bucket": {"states": {"name": "states", "description": "keeps the states"}}}}
    assert verdict(
        tmp_path / "name", "cdk.tf.json", json.dumps(bucket), changed(bucket, '"name": "s', '"name": "S')
    ) == ("different")
    assert verdict(tmp_path / "text", "cdk.tf.json", json.dumps(bucket), changed(bucket, "keeps", "holds")) == "wording"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("# starts a node\n", "# Starts one node\n# of the gang\n", "wording"),
        ("address of the head", "IP address of the head", "wording"),
        ("--nodes 4", "--nodes 5", "different"),
        ("#!/usr/bin/env bash", "#!/bin/sh", "different"),
        ("${HEAD:?", "${HOST:?", "different"),
    ],
)
def test_in_scripts_only_comments_and_messages_may_change(tmp_path: Path, old: str, new: str, expected: str) -> None:
    after = SCRIPT.replace(old, new)
    user_data = [json.dumps({"locals": {"user_data": text}}) for text in (SCRIPT, after)]

    assert verdict(tmp_path / "file", "launch.sh", SCRIPT, after) == expected
    assert verdict(tmp_path / "inside", "cdk.tf.json", *user_data) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("root disks", "system disks", "wording"),
        ("0.08", "0.09", "different"),
        ("volume.root", "volume.system", "different"),
        ("root disks |", "root | disks |", "different"),
    ],
)
def test_in_markdown_numbers_code_and_cells_stay(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert verdict(tmp_path, "cost.md", TABLE, TABLE.replace(old, new)) == expected


def test_a_file_that_only_one_side_has_is_a_difference(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "launch.sh").write_text(SCRIPT)
    ((entry,),) = compare(tmp_path / "old", tmp_path / "new").values()
    assert (entry.old, entry.new, entry.wording) == ("missing", "there", False)
