"""`llmcluster diff` shows money first, then what changed, and tells a changed price from a changed purchase."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmcluster.cli import cli
from planner.compare.plan_diff import diff_plans
from planner.plan.plan import Plan
from planner.search.optimizer import plan as make_plan
from planner.workspace.locks import plan_json
from planner.workspace.specs import load_spec
from provider_catalog.catalog import Catalog

SPEC = """
name: chat
model: Qwen/Qwen2.5-7B
workload: {{kind: inference, request_rate_per_s: {rate}}}
placement: {{providers: [aws], instance_types: [{instance}]}}
"""


def spec(folder: Path, name: str = "a", rate: float = 40, instance: str = "g6e.xlarge") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(SPEC.format(rate=rate, instance=instance))
    return path


def planned(path: Path) -> Plan:
    loaded = load_spec(path)
    return make_plan(loaded.spec, loaded.architecture, Catalog.load())


def dearer(plan: Plan, role: str, by: float) -> Plan:
    """Return the same plan after the price of a line has changed, as in a later catalog."""
    items = tuple(
        item.model_copy(
            update={"unit_price_usd": (item.unit_price_usd or 0) * by, "usd_per_hour": (item.usd_per_hour or 0) * by}
        )
        if item.role == role
        else item
        for item in plan.cost.items
    )
    total = sum(item.usd_per_hour or 0 for item in items)
    cost = plan.cost.model_copy(update={"items": items, "usd_per_hour": total, "usd_per_month": total * 730})
    stamp = plan.catalog.model_copy(update={"version": "0" * 12})
    return plan.model_copy(update={"cost": cost, "catalog": stamp})


def test_nothing_changed_is_said(tmp_path: Path) -> None:
    plan = planned(spec(tmp_path))
    assert diff_plans(plan, plan).same
    done = CliRunner().invoke(cli, ["diff", str(spec(tmp_path)), str(spec(tmp_path))])
    assert done.exit_code == 0
    assert "nothing changed" in done.stdout


def test_a_price_that_moved_is_told_from_a_spec_that_changed(tmp_path: Path) -> None:
    plan = planned(spec(tmp_path))
    found = diff_plans(plan, dearer(plan, "shared_storage", 1.5))
    (item,) = found.items
    monthly = {each.role: 730 * (each.usd_per_hour or 0) for each in plan.cost.items}
    assert item.by_price_usd == pytest.approx(0.5 * monthly["shared_storage"])
    assert item.by_quantity_usd == pytest.approx(0)
    assert found.spec == ()
    assert any(cause.startswith("prices changed") for cause in found.causes)

    busier = diff_plans(plan, planned(spec(tmp_path, "b", rate=120)))
    assert [change.what for change in busier.spec] == ["workload.request_rate_per_s"]
    assert not any(abs(item.by_price_usd) > 0.005 for item in busier.items)


def test_another_instance_type_is_no_moved_price(tmp_path: Path) -> None:
    found = diff_plans(planned(spec(tmp_path)), planned(spec(tmp_path, "b", instance="g6e.2xlarge")))
    assert "instance_type" in [change.what for change in found.decision]
    assert all(item.by_price_usd == 0 for item in found.items)


def test_the_parts_of_every_line_add_up_to_the_total(tmp_path: Path) -> None:
    old = planned(spec(tmp_path))
    new = dearer(planned(spec(tmp_path, "b", rate=120)), "root_disk", 0.7)
    found = diff_plans(old, new)
    moved = sum(item.by_price_usd + item.by_quantity_usd for item in found.items)
    assert moved == pytest.approx((new.cost.usd_per_month or 0) - (old.cost.usd_per_month or 0))


def test_a_line_that_loses_its_price_is_no_saving(tmp_path: Path) -> None:
    old, azure = spec(tmp_path), tmp_path / "azure.yaml"
    azure.write_text(
        "name: chat\nmodel: Qwen/Qwen2.5-7B\nworkload: {kind: inference, request_rate_per_s: 40}\n"
        "placement: {providers: [azure], regions: [eastus]}\n"
    )
    found = diff_plans(planned(old), planned(azure))
    [storage] = [item for item in found.items if item.role == "shared_storage"]
    assert (storage.unknown, storage.new_usd_per_month) == ("new", None)
    # 16 TiB at up to what FSx for Lustre asks for the same throughput: 0.31 USD an hour for 1.2 TiB in Tokyo
    [said] = found.left_out
    assert said.startswith("after: shared file system AMLFS-Durable-Premium-125, up to 3,090 USD a month")
    for form in ((), ("--markdown",)):
        text = CliRunner().invoke(cli, ["diff", str(old), str(azure), *form]).stdout
        assert "ot in any total, because it has no known price" in text
        assert "unknown" in next(line for line in text.splitlines() if "174.00" in line)
    assert diff_plans(planned(azure), planned(azure)).same


def test_specs_locks_and_folders_compare(tmp_path: Path) -> None:
    old, new = spec(tmp_path), spec(tmp_path, "b", rate=120)
    lock = tmp_path / "old.plan.json"
    lock.write_text(plan_json(planned(old)))
    folder = tmp_path / "out" / "stacks" / "chat-compute"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(plan_json(planned(old)))
    documents: list[Any] = []
    for before in (old, lock, tmp_path / "out"):
        done = CliRunner().invoke(cli, ["diff", str(before), str(new), "--json"])
        assert done.exit_code == 0, done.output
        documents.append(json.loads(done.stdout))
    assert documents[0] == documents[1] == documents[2]


def test_markdown_puts_money_first(tmp_path: Path) -> None:
    old, new = spec(tmp_path), spec(tmp_path, "b", rate=120)
    done = CliRunner().invoke(cli, ["diff", str(old), str(new), "--markdown"])
    lines = done.stdout.splitlines()
    assert lines[0].startswith("### chat: +")
    assert "USD per month" in lines[0]
    assert lines[2].startswith("| USD per")
    assert done.stdout.index("| decision") < done.stdout.index("| spec")
    tables = [line for line in lines if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)


@pytest.mark.parametrize("content", [None, "{}", "nonsense"])
def test_a_file_that_is_no_plan_is_refused(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "x.plan.json"
    if content is not None:
        path.write_text(content)
    done = CliRunner().invoke(cli, ["diff", str(path), str(spec(tmp_path))])
    assert done.exit_code == 2
    assert str(path) in done.stderr


def test_an_upper_bound_on_the_command_line_exits_3_with_the_nearest_plan(tmp_path: Path) -> None:
    path = spec(tmp_path)
    monthly = planned(path).cost.usd_per_month or 0
    enough = CliRunner().invoke(cli, ["plan", str(path), "--max-usd-per-month", str(monthly + 1), "--json"])
    assert enough.exit_code == 0
    assert json.loads(enough.stdout)["spec"]["budget"]["usd_per_month"] is None
    short = CliRunner().invoke(cli, ["plan", str(path), "--max-usd-per-month", "500"])
    assert short.exit_code == 3
    assert "g6e.xlarge" in short.stderr
    assert f"at {monthly:,.0f} USD a month; the budget is 500" in short.stderr
    assert CliRunner().invoke(cli, ["plan", str(path), "--max-usd-per-month", "0"]).exit_code == 2


HOSTILE = "a|b <img src=x> @everyone `code` **bold** [link](x)"


def test_texts_of_a_spec_are_shown_and_never_interpreted(tmp_path: Path) -> None:
    """Tags are free text: in a pull-request comment they must not mention anybody or act as Markdown or HTML."""
    first, second = spec(tmp_path), spec(tmp_path, "b")
    second.write_text(second.read_text() + f"tags: {json.dumps({'owner': HOSTILE, '[/red]': 'x'})}\n")
    text = CliRunner().invoke(cli, ["diff", str(first), str(second), "--markdown"]).stdout
    [row] = [line for line in text.splitlines() if line.startswith("| tags.owner")]
    assert "a\\|b &lt;img src=x&gt; &#64;everyone \\`code\\` \\*\\*bold\\*\\* \\[link\\]" in row
    assert "@" not in text
    shown = CliRunner().invoke(cli, ["diff", str(first), str(second)])
    assert shown.exit_code == 0, shown.output
    assert "[/red]" in shown.stdout


def folder_of(plans: list[Plan], folder: Path) -> str:
    for plan in plans:
        (folder / "stacks" / f"{plan.name}-compute").mkdir(parents=True)
        (folder / "stacks" / f"{plan.name}-compute" / "plan.json").write_text(plan_json(plan))
    return str(folder)


def test_a_cluster_that_comes_or_goes_is_money_too(tmp_path: Path) -> None:
    stays = planned(spec(tmp_path))
    goes, comes = (stays.model_copy(update={"name": name}) for name in ("goes", "comes"))
    old, new = folder_of([stays, goes], tmp_path / "old"), folder_of([stays, comes], tmp_path / "new")
    found = {
        each["new_name"]: each for each in json.loads(CliRunner().invoke(cli, ["diff", old, new, "--json"]).stdout)
    }
    assert set(found) == {"chat", "goes", "comes"}
    months = {name: {t["what"]: t for t in each["totals"]}["month"] for name, each in found.items()}
    assert (months["comes"]["old_usd"], months["comes"]["new_usd"]) == (None, stays.cost.usd_per_month)
    assert (months["goes"]["old_usd"], months["goes"]["new_usd"]) == (stays.cost.usd_per_month, None)
    assert found["goes"]["causes"] == ["the cluster is gone"]
    assert sum(item["by_quantity_usd"] for item in found["comes"]["items"]) == pytest.approx(stays.cost.usd_per_month)
    text = CliRunner().invoke(cli, ["diff", old, new, "--markdown"]).stdout
    assert "- the cluster is new" in text


def test_a_run_against_a_service_is_compared_by_the_month(tmp_path: Path) -> None:
    run = tmp_path / "run.yaml"
    run.write_text(
        "name: run\nmodel: {parameters: 7B}\nworkload: {kind: training, tokens: 1.0e+10, deadline_days: 30}\n"
        "placement: {providers: [aws], instance_types: [p4d.24xlarge]}\n"
    )
    text = CliRunner().invoke(cli, ["diff", str(run), str(spec(tmp_path)), "--markdown"]).stdout
    assert "USD per month" in text.splitlines()[0]


@pytest.mark.parametrize("amount", ["nan", "inf", "1e309", "0", "-5", "much"])
def test_an_invalid_amount_of_money_is_refused(amount: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["plan", str(spec(tmp_path)), "--max-usd-per-month", amount])
    assert done.exit_code == 2
    assert "--max-usd-per-month" in done.stderr
