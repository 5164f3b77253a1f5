"""Hostile text in specs is refused or escaped: every text field of the models is tested with it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from cdk.providers import use_bundled_node
from planner.errors import SpecError
from planner.spec import ClusterSpec
from planner.spec.reader import read_spec
from provider_catalog.text import markdown_text, one_line, printable, terraform_literal, unsafe_part
from tests.support.plans import example_plan
from tests.support.spec_fields import Place, text_places

HEREDOC = 'x\nEOF\nresource "null_resource" "x" {\n  provisioner "local-exec" {\n    command = "id"\n  }\n}\n#'
REFUSED_EVERYWHERE = {
    "interpolation": '${filebase64("/proc/self/environ")}',
    "directive": "%{ for x in [1] }x%{ endfor }",
    "token of cdktf": "${TfToken[TOKEN.0]}",
    "line feed": "a\nb",
    "trailing line feed": "example\n",
    "carriage return": "a\rb",
    "heredoc marker": HEREDOC,
    "NUL": "a\x00b",
    "escape sequence": "\x1b[31mred\x1b[0m",
    "C1 control": "a\x9b31mb",
    "right-to-left override": "a\u202eb",
    "zero width": "a\u200bb",
    "line separator": "a\u2028b",
    "lone surrogate": "a\ud800b",
}
REFUSED_BUT_IN_FREE_TEXT = {
    "command substitution": "$(id)",
    "backticks": "`id`",
    "double quotes": '" x = "',
    "single quotes": "'; id; '",
    "backslash": "a\\",
    "HTML": "<img src=x onerror=alert(1)>",
    "markup of rich": "[/][bold]x",
    "comment": "a; id; #",
    "pipe": "a | id",
    "mention": "@everyone",
    "link": "[x](https://example.com)",
    "traversal": "../../x",
}
FREE_TEXT = {"tags"}
"""Fields with free text, which the clouds restrict further. Every other text field has a pattern."""
NAMES_A_FILE = {"model", "prices", "capacity.demand"}
"""Fields with a path, which may lead out of the folder of the spec; it is read as a model, as prices or as demand."""
HARMLESS_IN = {
    # By field: hostile texts that its pattern allows, because it is written to neither a shell nor a template.
    "observability.notify": {"mention"},
    "imports": {"traversal", "pipe", "mention"},
    "workload.lora_targets": set(),
}

PLACES = text_places()


def refused(place: Place, text: str) -> str | None:
    """Returns the error message for a spec with the text at a place; None if the spec is accepted."""
    try:
        read_spec(place.plant(text), "spec.yaml")
    except SpecError as error:
        return str(error)
    return None


def test_the_walk_finds_the_fields_that_were_open() -> None:
    """The walk finds the eleven fields that once accepted any text, and a field of each kind of container."""
    paths = {place.path for place in PLACES if place.free}
    assert {
        "tags", "imports", "observability.notify", "storage.lustre.data_repositories.bucket", "state.bucket",
        "state.container", "state.resource_group", "state.region", "state.key_prefix", "placement.zone",
        "placement.regions", "kubernetes.administrators", "pin.node.gpu", "model.parameters", "capacity.block.zone",
        "workload.lora_targets",
    } <= paths  # fmt: skip
    assert sum(place.path == "tags" for place in PLACES) == 2  # keys and values


@pytest.mark.parametrize("name", REFUSED_EVERYWHERE)
def test_no_text_field_takes(name: str) -> None:
    text = REFUSED_EVERYWHERE[name]
    for place in PLACES:
        said = refused(place, text)
        assert said is not None, f"{place.path} accepts {name}"
        # A message about a value starts with its field; a message about a key quotes the key.
        assert place.path.split(".")[-1] in said, said
        for line in said.split("\n"):
            assert line.startswith("spec.yaml: "), said
            assert line.isprintable(), repr(line)


@pytest.mark.parametrize("name", REFUSED_BUT_IN_FREE_TEXT)
def test_only_free_text_takes(name: str) -> None:
    """Only tags accept shell syntax, quotes and HTML; paths and e-mail addresses accept a few of their characters."""
    text = REFUSED_BUT_IN_FREE_TEXT[name]
    for place in PLACES:
        if place.path in FREE_TEXT or name in HARMLESS_IN.get(place.path, ()):
            continue
        if place.path in NAMES_A_FILE and name in ("traversal", "mention", "link", "markup of rich"):
            continue
        assert refused(place, text) is not None, f"{place.path} accepts {name}: {text}"


def test_a_new_field_without_a_pattern_is_checked() -> None:
    class Grown(ClusterSpec):
        motto: str = ""
        mottos: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    smallest = {"name": "example", "model": "x", "workload": {"kind": "inference"}}
    assert Grown.model_validate({**smallest, "motto": "fine ~ 100 %"}).motto == "fine ~ 100 %"
    for text in REFUSED_EVERYWHERE.values():
        for field in ({"motto": text}, {"mottos": {text: ()}}, {"mottos": {"a": (text,)}}):
            with pytest.raises(ValueError, match=r"motto|unicode"):
                Grown.model_validate({**smallest, **field})


@pytest.mark.parametrize(
    "given",
    [
        {"tags": {"team": "ml-platform", "cost-center": "R&D (EU)", "owner": "Zoë Müller", "équipe": "plateforme ML"}},
        {"tags": {"team": "機械学習", "arn": "arn:aws:iam::123456789012:role/ops", "mail": "a.b+c@example.com"}},
        {"observability": {"notify": ["first.last+gpu@sub.example.co.uk", "o'neill@example.com"]}},
        {"storage": {"lustre": {"data_repositories": [{"bucket": "s3://my-bucket/some/prefix_1/x=1", "path": "/a"}]}}},
        {"network": {"cidr": "10.42.0.0/16", "connected_cidrs": ["192.168.0.0/24"]}},
        {"imports": {"storage.aws_s3_bucket.checkpoints": "example-checkpoints-123456789012"}},
        {"imports": {"network.azurerm_resource_group.cluster": "/subscriptions/0-1/resourceGroups/rg_(a)"}},
        {"state": {"backend": "s3", "bucket": "acme.states", "region": "us-gov-west-1", "key_prefix": "team/ml/x"}},
        {"state": {"backend": "azurerm", "bucket": "acmestates", "resource_group": "rg-ml_(é).x", "container": "tfs"}},
        {"security": {"permissions_boundary": "arn:aws:iam::123456789012:policy/path/Boundary_1"}},
        {"kubernetes": {"administrators": ["arn:aws-cn:iam::123456789012:role/ops"]}, "orchestrator": "kubernetes"},
        {"placement": {"providers": ["azure"], "zone": "1", "instance_types": ["Standard_ND96isr_H100_v5"]}},
        {"pin": {"node": {"gpu": "A100-80GB", "gpus": 8, "nic_gbit_per_s": 3200}}},
        {"model": "models/my model (v2)/config.json"},
        {"model": "/srv/modèles/x.json"},
        {"model": "65B"},
        {"prices": "../shared/prices.yaml"},
    ],
    ids=lambda given: next(iter(given)),
)  # fmt: skip
def test_usual_values_are_taken(given: dict[str, Any]) -> None:
    document = {"name": "example", "model": "x", "workload": {"kind": "inference"}, **given}
    spec = read_spec(document, "spec.yaml")
    assert spec.model_dump(mode="json", include=set(given), exclude_unset=True) == given


def test_a_message_names_field_value_and_alphabet() -> None:
    document = {"name": "example", "model": "x", "workload": {"kind": "inference"}, "state": {"key_prefix": "a;b"}}
    with pytest.raises(SpecError) as said:
        read_spec(document, "spec.yaml")
    assert str(said.value) == (
        "spec.yaml: state.key_prefix: allowed: letters, digits and . _ = + - in folders separated by /, without a"
        " leading /; given: 'a;b'"
    )


# Functions that escape text on output


def test_terraform_keeps_text_that_looks_like_a_template() -> None:
    assert terraform_literal("a ${b} %{c} $ % {") == "a $${b} %%{c} $ % {"
    with pytest.raises(ValueError, match="token of cdktf"):
        terraform_literal("${TfToken[TOKEN.1]}")


def test_terminal_and_comments_show_controls_as_escapes() -> None:
    assert printable("a\x1b[2Jb\nc\x9b\u202ed") == "a\\x1b[2Jb\nc\\x9b\\u202ed"
    assert one_line("a\nb\x00") == "a\\nb\\x00"
    assert printable("\ud800") == "\\ud800"


def test_markdown_makes_no_link_html_table_or_mention() -> None:
    hostile = "a|b <img src=x> @everyone `c` **d** [e](https://f) \x1b\n# g"
    shown = markdown_text(hostile)
    assert "\n" not in shown
    assert "@" not in shown
    assert "<" not in shown
    assert "://" not in shown
    assert not re.search(r"(?<!\\)[|`*\[\]~]", shown)
    assert markdown_text("PERSISTENT_2-125, 2 nodes") == "PERSISTENT_2-125, 2 nodes"


def test_what_is_unsafe_is_named() -> None:
    assert unsafe_part("plain text, é, 機") is None
    assert unsafe_part("a\x1bb") == "an escape character"
    assert unsafe_part("a\u202eb") == "the character U+202E, which is not printable"


# Synthesized stacks: hostile tags stay text in JSON and HCL on both clouds

FREE = {f"t{index}": text for index, text in enumerate(REFUSED_BUT_IN_FREE_TEXT.values())}


def rendered(spec: dict[str, Any], folder: Path) -> dict[str, str]:
    """Returns the HCL and JSON documents of every stack of an example on Azure, by name."""
    use_bundled_node()
    from planner.workspace.planning import PlannedSpec
    from provider_catalog.catalog import Catalog
    from provider_catalog.models import load_model
    from stacks.app import write_stacks

    plan = example_plan("azure", spec=spec)
    planned = PlannedSpec(folder / "example.yaml", plan, False, load_model("7B"), Catalog.load())
    stacks = write_stacks([planned], folder / "out", folder / "hcl")
    texts = {}
    for stack in stacks:
        assert stack.hcl_folder is not None
        texts[f"{stack.role} json"] = (stack.folder / "cdk.tf.json").read_text()
        texts[f"{stack.role} hcl"] = (stack.hcl_folder / "cdk.tf").read_text()
    return texts


def test_tags_with_signs_of_shells_stay_text_on_azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stacks.app.launch_sidecars", lambda *_: {})
    tags = {key: text for key, text in FREE.items() if not set(text) & set('"\\')}
    plain = rendered({"tags": dict.fromkeys(tags, "plain")}, tmp_path / "plain")
    hostile = rendered({"tags": tags}, tmp_path / "hostile")
    for name, text in plain.items():
        if name.endswith("json"):
            assert expressions(json.loads(hostile[name])) == expressions(json.loads(text))
            continue
        assert len(hostile[name].splitlines()) == len(text.splitlines())
        for value in tags.values():
            assert f'= "{value}"' in hostile[name] or "tags" not in text
    found = json.loads(hostile["network json"])["resource"]["azurerm_resource_group"]
    assert all(next(iter(found.values()))["tags"][key] == value for key, value in tags.items())


def expressions(value: object) -> list[str]:
    """Returns every template that Terraform would interpret in a document."""
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in expressions(key) + expressions(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in expressions(inner)]
    return re.findall(r"(?<![$%])[$%]\{[^}]*\}", value) if isinstance(value, str) else []


@pytest.mark.parametrize("text", [text for text in FREE.values() if "@" not in text and not text.startswith("..")])
def test_aws_refuses_tags_outside_its_alphabet(text: str) -> None:
    from stacks.aws.base import checked_tags

    for tags in ({"key": text}, {text: "value"}):
        with pytest.raises(SpecError, match="AWS takes letters, digits, spaces"):
            checked_tags(tags)
