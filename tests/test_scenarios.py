"""Named scenarios hold the guide's requirements, and the comparison with the guide's hardware is true."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from planner.compare.scenarios import RequirementCheck, ScenarioComparison, compare_with_guide, scenario_spec
from planner.workspace.specs import load_spec
from provider_catalog.catalog import PACKAGED_DATA, Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.models import load_model
from provider_catalog.scenarios import load_scenario, scenario_names

ROOT = Path(__file__).parent.parent
CATALOG = Catalog.load()


@cache
def judged(name: str) -> ScenarioComparison:
    scenario = load_scenario(CATALOG.folder, name)
    model = scenario_spec(scenario).model
    return compare_with_guide(scenario, load_model(model if isinstance(model, str) else model.model_dump()), CATALOG)


def check(found: ScenarioComparison, requirement: str) -> RequirementCheck:
    return next(row for row in found.checks if row.requirement == requirement)


def test_scenarios_hold_the_figures_of_the_guide() -> None:
    # Hardware guide: 2 x A100 40 GB, < 200 ms, < 5 ms, 512 GB; 4 x A100 80 GB, 2 TB RAID 0, < 50 ms; 8 x H100, 10 TB,
    # < 1 ms
    chat, batch, training = (
        load_scenario(CATALOG.folder, name) for name in ("real-time-chat", "batch-generation", "continued-training")
    )
    assert (chat.hardware.gpus, CATALOG.gpu(chat.hardware.gpu).memory_gb) == (2, 40)
    assert (chat.requirements.ttft_ms, chat.requirements.network_ms, chat.requirements.nvme_gb) == (200, 5, 512)
    assert (batch.hardware.gpus, CATALOG.gpu(batch.hardware.gpu).memory_gb) == (4, 80)
    assert (batch.requirements.network_ms, batch.requirements.nvme_gb, batch.requirements.raid0) == (50, 2000, True)
    assert (training.hardware.gpus, training.hardware.gpu) == (8, "H100")
    assert (training.requirements.lustre_gb, training.requirements.rdma_ms) == (10_000, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", scenario_names(PACKAGED_DATA))
def test_every_scenario_is_judged_and_ours_meets_what_the_guide_asks(name: str) -> None:
    found = judged(name)
    assert found.replay.choice.nodes == 1
    assert found.checks
    assert all(row.ours_holds for row in found.checks), [row for row in found.checks if not row.ours_holds]
    assert found.guide_offer.usd_per_hour is not None and found.our_offer.usd_per_hour is not None
    assert any("USD" in sentence for sentence in found.verdict)


def test_real_time_chat_is_oversized() -> None:
    found = judged("real-time-chat")
    assert (found.replay.choice.gpus, found.replay.choice.gpu) == (2, "A100-40GB")
    assert check(found, "first token").replay_holds
    # Nobody sells two A100 40 GB: EC2 p4d and Azure NDv4 have eight
    assert found.guide_offer.gpus == 8
    assert any("stay idle" in sentence for sentence in found.verdict)
    assert any(sentence.startswith("oversized in load") for sentence in found.verdict)
    assert (found.our_offer.usd_per_hour or 0) < (found.guide_offer.usd_per_hour or 0)


def test_continued_training_stands_on_the_instance_the_guide_names() -> None:
    found = judged("continued-training")
    assert (found.replay.choice.instance_type, found.replay.choice.gpus) == ("p5.48xlarge", 8)
    lustre = check(found, "shared Lustre")
    assert lustre.replay_holds and lustre.ours_holds
    assert found.replay.cost.usd_per_run is not None
    assert (found.ours.cost.usd_per_run or 0) <= found.replay.cost.usd_per_run
    # Continued: again and again, so that a year of it is priced too
    assert found.replay.updates is not None and found.ours.updates is not None
    assert (found.ours.updates.usd_per_update or 0) <= (found.replay.updates.usd_per_update or 0)
    assert any(sentence.startswith("a year of updates costs") for sentence in found.verdict)


def test_local_nvme_is_a_requirement_of_the_spec() -> None:
    spec = load_spec(Path("scenario:real-time-chat")).spec
    assert spec.storage.scratch_gb == 512
    found = judged("real-time-chat")
    kind = CATALOG.instance_type(found.ours.choice.provider, found.ours.choice.instance_type)
    assert kind.nvme_total_gb >= 512
    reasons = [rejection.reason for rejection in found.ours.rejected]
    assert any("storage.scratch_gb is 512" in reason for reason in reasons)


def test_an_unknown_scenario_names_the_nearest() -> None:
    with pytest.raises(CatalogError, match="did you mean 'real-time-chat'"):
        load_scenario(CATALOG.folder, "realtime-chat")


def _llmcluster(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "llmcluster", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
def test_the_command_line_lists_shows_judges_and_plans(tmp_path: Path) -> None:
    listed = _llmcluster("scenario", "list")
    assert listed.returncode == 0, listed.stderr
    assert all(name in listed.stdout for name in scenario_names(PACKAGED_DATA))
    shown = _llmcluster("scenario", "show", "batch-generation")
    saved = tmp_path / "saved.yaml"
    saved.write_text(shown.stdout)
    assert load_spec(saved).spec == load_spec(Path("scenario:batch-generation")).spec
    found = json.loads(_llmcluster("scenario", "judge", "batch-generation", "--json").stdout)
    assert {"replay", "ours", "checks", "guide_offer", "our_offer", "verdict"} <= found.keys()
    decided = json.loads(_llmcluster("plan", "scenario:batch-generation", "--json").stdout)
    assert decided == found["ours"]
    locked = _llmcluster("plan", "scenario:batch-generation", "--lock")
    assert locked.returncode == 2
    assert "scenario show batch-generation" in locked.stderr
    unknown = _llmcluster("plan", "scenario:chat")
    assert unknown.returncode == 2
    assert "unknown scenario" in unknown.stderr and "Traceback" not in unknown.stderr
