import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from planner.errors import SpecError
from planner.plan.plan import Plan
from planner.workspace import planning
from planner.workspace.locks import write_lock
from provider_catalog.catalog import Catalog
from stacks import app as stacks_app
from stacks import clouds
from stacks.app import specs_of_context, synthesize
from stacks.clouds import BuiltStack
from stacks.sidecar import cost_markdown, stack_cost
from tests.support.paper_cloud import SCRIPT, every_cloud, on, write
from tests.support.plans import example_plan
from tests.support.terraform import Terraform

ROOT = Path(__file__).parent.parent
CLUSTERS = sorted((ROOT / "clusters").glob("*.yaml"))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clouds, "registered_clouds", every_cloud)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def apply(terraform: Terraform, folder: Path) -> dict[str, Any]:
    terraform.init(folder)
    terraform.apply(folder)
    outputs = json.loads(terraform.run(["output", "-json"], folder).stdout)
    return {name: output["value"] for name, output in outputs.items()}


@pytest.fixture
def two_folders(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "one", tmp_path / "a" / "deeper" / "place"
    second.mkdir(parents=True)
    first.mkdir()
    return first, second


def test_output_is_the_same_bytes_in_any_folder(two_folders: tuple[Path, Path]) -> None:
    first, second = two_folders
    write(on("paper"), first, hcl=True)
    write(on("paper"), second, hcl=True)

    assert content(first) == content(second)
    assert not any(str(first.parent).encode() in text for text in content(first).values())
    assert "cdktf.out/stacks/example-compute/cdk.tf.json" in content(first)
    assert "hcl.out/stacks/example-compute/cdk.tf" in content(first)


def test_stack_reads_the_other_stack_through_relative_local_state(terraform: Terraform, tmp_path: Path) -> None:
    network, compute = write(on("paper"), tmp_path)
    apply(terraform, network.folder)

    applied = apply(terraform, compute.folder)

    assert applied["given"]["text"] == f'{SCRIPT}mount "fs-1.example.com"\n'
    assert sorted(path.name for path in (tmp_path / "state").glob("*.tfstate")) == [
        "example-compute.tfstate",
        "example-network.tfstate",
    ]


def test_hcl_means_what_the_json_means(terraform: Terraform, tmp_path: Path) -> None:
    network, compute = write(on("paper"), tmp_path, hcl=True)
    apply(terraform, network.folder)
    from_json = apply(terraform, compute.folder)
    assert compute.hcl_folder is not None

    from_hcl = apply(terraform, compute.hcl_folder)

    assert from_hcl == from_json
    assert terraform.changes(compute.hcl_folder) == {}


def test_hcl_is_laid_out_as_terraform_fmt_wants_it(terraform: Terraform, tmp_path: Path) -> None:
    for stack in write(on("paper"), tmp_path, hcl=True):
        assert stack.hcl_folder is not None
        terraform.run(["fmt", "-check", "-diff"], stack.hcl_folder)


def test_hcl_and_json_never_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match="HCL"):
        synthesize([], tmp_path / "out", tmp_path / "x" / ".." / "out")

    (stack, *_) = write(on("paper"), tmp_path, hcl=True)
    assert stack.hcl_folder is not None
    assert not list(stack.hcl_folder.glob("*.json.tf"))
    assert sorted(path.name for path in stack.hcl_folder.glob("cdk.tf*")) == ["cdk.tf"]
    assert sorted(path.name for path in stack.folder.glob("cdk.tf*")) == ["cdk.tf.json"]


@pytest.mark.slow
def test_cdktf_synth_hcl_writes_the_bytes_of_the_own_hcl_folder(tmp_path: Path) -> None:
    write(on("paper"), tmp_path, hcl=True)
    # cdktf reads the variable when Node starts, so this takes a process of its own.
    code = (
        "from pathlib import Path; from stacks import clouds; "
        "from tests.support.paper_cloud import every_cloud, on, write; "
        "clouds.registered_clouds = every_cloud; write(on('paper'), Path())"
    )
    folder = tmp_path / "by-cli"
    folder.mkdir()

    subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "SYNTH_HCL_OUTPUT": "true"},
        check=True,
        capture_output=True,
    )

    ours, theirs = content(tmp_path / "hcl.out"), content(folder / "cdktf.out")
    assert json.loads(theirs.pop("manifest.json")) == json.loads(ours.pop("manifest.json"))
    assert theirs == ours


def test_json_synthesis_removes_the_hcl_that_an_earlier_run_left(tmp_path: Path) -> None:
    (stack, *_) = write(on("paper"), tmp_path)
    (stack.folder / "cdk.tf").write_text("# of `cdktf synth --hcl` into the same folder\n")
    (stack.folder / ".terraform").mkdir()

    write(on("paper"), tmp_path)

    assert not (stack.folder / "cdk.tf").exists()
    assert (stack.folder / ".terraform").is_dir()


@pytest.mark.parametrize(
    ("state", "kind", "expected"),
    [
        ({}, "local", {"path": "../../../state/example-network.tfstate"}),
        (
            {"backend": "s3", "bucket": "states", "region": "us-east-1"},
            "s3",
            {
                "bucket": "states",
                "key": "llmcluster/example-network.tfstate",
                "region": "us-east-1",
                "use_lockfile": True,
            },
        ),
        (
            {"backend": "azurerm", "bucket": "states", "resource_group": "rg"},
            "azurerm",
            {
                "storage_account_name": "states",
                "container_name": "tfstate",
                "key": "llmcluster/example-network.tfstate",
                "resource_group_name": "rg",
                "use_azuread_auth": True,
            },
        ),
    ],
)
def test_backend_is_the_one_of_the_spec(
    state: dict[str, str], kind: str, expected: dict[str, Any], tmp_path: Path
) -> None:
    network, compute = write(on("paper", spec={"state": state}), tmp_path)

    document = json.loads((network.folder / "cdk.tf.json").read_text())
    assert document["terraform"]["backend"] == {kind: expected}
    reader = json.loads((compute.folder / "cdk.tf.json").read_text())["data"]["terraform_remote_state"]["network"]
    assert reader["backend"] == kind
    shared = {key: value for key, value in expected.items() if key != "use_lockfile"}
    assert reader["config"] == shared


def test_failing_cloud_leaves_the_earlier_output_as_it_was(tmp_path: Path) -> None:
    write(on("paper"), tmp_path)
    before = content(tmp_path)

    with pytest.raises(SpecError, match="no such zone"):
        write(on("broken"), tmp_path)

    assert content(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["cdktf.out"]


def test_failing_cloud_leaves_nothing_where_nothing_was(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such zone"):
        write(on("broken"), tmp_path / "new" / "folder")

    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_the_earlier_output_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(on("paper"), tmp_path)
    before = content(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stacks_app, "_write_sidecars", full)
    with pytest.raises(OSError, match="No space left"):
        write(on("paper", nodes=2), tmp_path)

    assert content(tmp_path) == before


def test_provider_without_stacks_is_named_with_those_that_have_some(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="on-prem") as refused:
        write(on("on-prem"), tmp_path)

    assert "aws, azure" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_cost_items_name_resources_and_sum_to_the_total(tmp_path: Path) -> None:
    plan = on("paper")
    stacks = {stack.role: stack for stack in write(plan, tmp_path)}
    cost = json.loads((stacks["compute"].folder / "cost.json").read_text())

    assert cost["cluster"] == "example"
    assert math.isclose(sum(item["usd_per_hour"] for item in cost["items"]), cost["total_usd_per_hour"])
    by_name = {item["name"]: item for item in cost["items"]}
    assert by_name["compute on demand"]["resource"] == "terraform_data.nodes"
    assert by_name["root disk"]["resource"] is None
    assert {"source", "as_of", "kind"} <= set(by_name["root disk"]["provenance"])
    assert json.loads((stacks["compute"].folder / "plan.json").read_text())["name"] == "example"


def test_unknown_price_counts_nothing_and_is_said() -> None:
    plan = example_plan()
    items = tuple(
        item.model_copy(update={"unit_price_usd": None, "usd_per_hour": None}) if item.role == "root_disk" else item
        for item in plan.cost.items
    )
    plan = plan.model_copy(update={"cost": plan.cost.model_copy(update={"items": items})})

    cost = stack_cost(plan, BuiltStack("compute", stack=None))  # type: ignore[arg-type]

    assert cost["unknown"] == ["root disk"]
    assert cost["total_usd_per_hour"] == 4.0
    assert "Price unknown, not in the total: root disk." in cost_markdown(cost)


@pytest.mark.parametrize("given", [None, 3, [], [1], "no/such/*.yaml"])
def test_context_without_usable_specs_is_refused(given: object, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"context\.specs"):
        specs_of_context({} if given is None else {"specs": given}, tmp_path)


def test_context_names_each_spec_once_and_in_order(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", "a.plan.json"):
        (tmp_path / name).touch()

    found = specs_of_context({"specs": ["*.yaml", str(tmp_path / "b.*")]}, tmp_path)

    assert found == [tmp_path / "a.yaml", tmp_path / "b.yaml"]


def run_app(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stacks.app"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "code", "said"),
    [
        ("name: x-y-z\nmodel: {parameters: 7B}\nworkload: {kind: training, tokens: -1}\n", 2, "workload.tokens"),
        (
            "name: too-fast\nmodel: {parameters: 65B}\nplacement: {providers: [aws], instance_types: [g5.xlarge]}\n"
            "workload: {kind: training, tokens: 1.4e12, sequence_length: 2048, deadline_days: 1}\n",
            3,
            "g5.xlarge",
        ),
    ],
    ids=["negative tokens", "infeasible"],
)
def test_bad_spec_ends_with_its_exit_code_and_no_file(spec: str, code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "cdktf.json").write_text(json.dumps({"context": {"specs": "*.yaml"}}))
    shutil.copy(ROOT / "clusters" / "quickstart.yaml", tmp_path / "a-good-one.yaml")
    (tmp_path / "bad.yaml").write_text(spec)

    done = run_app(tmp_path)

    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "bad.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-good-one.yaml", "bad.yaml", "cdktf.json"]


def test_two_specs_of_one_name_are_refused_with_both_paths(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        shutil.copy(ROOT / "clusters" / "quickstart.yaml", tmp_path / name)

    with pytest.raises(SpecError, match=r"a\.yaml.*b\.yaml"):
        synthesize([tmp_path / "a.yaml", tmp_path / "b.yaml"], tmp_path / "out")

    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_output_folder_that_is_a_file_is_an_error_of_the_outside(tmp_path: Path) -> None:
    (tmp_path / "cdktf.json").write_text(json.dumps({"context": {"specs": "*.yaml"}}))
    shutil.copy(ROOT / "clusters" / "quickstart.yaml", tmp_path)
    (tmp_path / "taken").touch()

    done = run_app(tmp_path, CDKTF_OUTDIR=str(tmp_path / "taken" / "out"))

    assert done.returncode == 4
    assert "taken" in done.stderr
    assert "Traceback" not in done.stderr


def test_locked_plan_is_synthesized_although_prices_have_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec_path = tmp_path / "quickstart.yaml"
    shutil.copy(ROOT / "clusters" / "quickstart.yaml", spec_path)
    catalog = Catalog.load()
    (decided,) = planning.plan_specs([spec_path], catalog)
    write_lock(decided.plan, spec_path)

    def dearer(*_: object) -> Plan:
        raise AssertionError("a locked spec is not planned again")

    monkeypatch.setattr(planning, "make_plan", dearer)
    (locked,) = planning.plan_specs([spec_path], catalog)
    assert locked.locked
    assert locked.plan == decided.plan

    spec_path.write_text(spec_path.read_text().replace("name: ", "name: other-"))
    with pytest.raises(SpecError, match="changed since"):
        planning.plan_specs([spec_path], catalog)
