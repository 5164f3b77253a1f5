"""Failure rates against published clusters, and properties of checkpoints and goodput."""

from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy_training import replay, runs
from planner.errors import InfeasibleError, SpecError
from planner.plan.performance import TrainingPerformance
from planner.plan.plan import Plan
from planner.plan.reliability import Reliability
from planner.reliability.checkpoints import ON_PREM_STORAGE, CheckpointStore, checkpoint_bytes, stall_s
from planner.reliability.failures import FailureModel, NodeEnvironment
from planner.reliability.recovery import spare_nodes
from planner.reliability.young_daly import (
    CheckpointTiming,
    best_timing,
    daly_interval_s,
    optimal_interval_s,
    time_shares,
    young_interval_s,
)
from planner.search.optimizer import plan
from planner.sizing.optimizer_state import StateRules
from planner.sizing.profile import ModelProfile
from planner.spec import FaultTolerance
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.interruptions import InterruptionRate, InterruptionRecord
from provider_catalog.models import load_model

CATALOG = Catalog.load()
RECORDS = {record.name: record for record in CATALOG.interruptions}
SECONDS = st.floats(0.1, 5000)
HOURS = st.floats(0.5, 2000)


def mtbf_hours(generation: str, gpus: int) -> tuple[float, float, float]:
    rate = CATALOG.interruption_rate(generation)
    return 1 / (rate.high * gpus), 1 / (rate.expected * gpus), 1 / (rate.low * gpus)


def test_the_record_of_llama_3_holds_the_interruptions_of_its_paper() -> None:
    # arXiv 2407.21783, Table 5 and section 3.3.4: 419 interruptions of 16,384 H100 in 54 days; 148 faulty GPUs, 72 of
    # HBM3, 58.7 % of GPUs in all (the paper counts silent data corruption, SRAM, processor and sensors among them)
    causes = RECORDS["Llama 3.1 405B"].causes
    assert sum(causes.values()) == 419
    assert causes["gpu"] + causes["gpu_memory"] == 148 + 72 + 19 + 17 + 6 + 6
    _, expected, _ = mtbf_hours("Hopper", 16384)
    assert expected == pytest.approx(54 * 24 / 419)


@pytest.mark.parametrize(
    ("gpus", "hours"),
    [
        (992, 60 * 24 / 105),  # OPT-175B, arXiv 2205.01068, section 2.5
        (1024, 7.9),  # Meta RSC-1, arXiv 2410.21680
        (16384, 1.8),  # the same, as projected there
        (384, 7 * 24 / 1.5),  # BLOOM, arXiv 2211.05100: one or two a week
    ],
)
def test_published_mean_times_on_a100_lie_in_the_range(gpus: int, hours: float) -> None:
    least, expected, most = mtbf_hours("Ampere", gpus)
    assert least * 0.999 <= hours <= most
    assert expected / 4 < hours < expected * 4


def test_a_generation_without_data_says_so() -> None:
    rate = CATALOG.interruption_rate("Ada Lovelace")
    assert "without any record of Ada Lovelace" in rate.source
    assert CATALOG.interruption_rate("Blackwell Ultra") == CATALOG.interruption_rate("Blackwell")


@pytest.mark.parametrize(
    "wrong",
    [
        {"gpus": 8, "days": 1.0},
        {"gpus": 8, "days": 1.0, "interruptions": 1.0, "per_thousand_node_days": 2.0},
        {"gpus": 8, "days": 1.0, "interruptions": 2.0, "causes": {"gpu": 1.0}},
    ],
)
def test_a_record_that_contradicts_itself_is_refused(wrong: dict[str, Any]) -> None:
    known = {"name": "x", "generation": "Hopper", "gpus_per_node": 8, "verified": True, "source": "s", "as_of": "2026"}
    with pytest.raises(ValueError, match=r"per_thousand_node_days|causes sum"):
        InterruptionRecord.model_validate({**known, **wrong})


@pytest.mark.parametrize(("mtbf_minutes", "minutes"), [(24 * 60, 117), (6 * 60, 57), (15, 9.1)])
def test_intervals_agree_with_dalys_own_examples(mtbf_minutes: float, minutes: float) -> None:
    # Daly 2006, Figures 3 to 5: checkpoints of 5 minutes, restarts of 10
    assert daly_interval_s(5, mtbf_minutes) == pytest.approx(minutes, rel=0.006)
    assert optimal_interval_s(5, mtbf_minutes) == pytest.approx(minutes, rel=0.01)


def test_young_is_the_first_order_of_daly() -> None:
    assert daly_interval_s(1, 1e8) == pytest.approx(young_interval_s(1, 1e8), rel=1e-3)


@given(stall=SECONDS, restart=SECONDS, hours=HOURS, factor=st.floats(0.3, 3))
def test_no_other_interval_loses_less(stall: float, restart: float, hours: float, factor: float) -> None:
    mtbf_s = hours * 3600
    best = best_timing(stall, restart, 0.0, mtbf_s)
    other = best._replace(interval_s=best.interval_s * factor)
    assert time_shares(best, mtbf_s).useful >= time_shares(other, mtbf_s).useful - 1e-12


@given(stall=SECONDS, restart=SECONDS, lag=SECONDS, hours=HOURS)
def test_time_shares_are_the_whole_time(stall: float, restart: float, lag: float, hours: float) -> None:
    shares = time_shares(best_timing(stall, restart, lag, hours * 3600), hours * 3600)
    assert sum(shares) == pytest.approx(1)
    assert min(shares) >= 0


def failures(
    size_bytes: float, store_bytes_per_s: float = inf, per_gpu_hour: float = 2e-5, **tolerance: Any
) -> FailureModel:
    store = CheckpointStore("own_storage", "store", store_bytes_per_s, store_bytes_per_s, inf)
    rate = InterruptionRate(per_gpu_hour / 2, per_gpu_hour, per_gpu_hour * 2, "test")
    return FailureModel(NodeEnvironment(rate, stores=(store,)), FaultTolerance(**tolerance), int(size_bytes), 8)


MODES = st.sampled_from(["async", "sync"])


@given(size=st.floats(1e9, 1e13), speed=st.floats(1e8, 1e12), slower=st.floats(1, 50), mode=MODES)
def test_slower_storage_never_raises_goodput(size: float, speed: float, slower: float, mode: str) -> None:
    fast, slow = (failures(size, rate, checkpoint=mode) for rate in (speed, speed / slower))
    assert slow.checkpoint_plan(1024).write_s >= fast.checkpoint_plan(1024).write_s
    assert slow.goodput(1024) <= fast.goodput(1024) + 1e-12


@given(nodes=st.integers(1, 2000), more=st.integers(1, 2000), spot=st.booleans())
def test_more_nodes_fail_more_often(nodes: int, more: int, spot: bool) -> None:
    model = failures(1e12)
    few = model.checkpoint_plan(8 * nodes, nodes if spot else 0)
    many = model.checkpoint_plan(8 * (nodes + more), nodes + more if spot else 0)
    assert many.mtbf_s < few.mtbf_s
    assert many.goodput <= few.goodput + 1e-12


@given(size=st.floats(1e9, 1e13), speed=st.floats(1e8, 1e12))
def test_asynchronous_checkpoints_never_lose_more(size: float, speed: float) -> None:
    lost = {mode: 1 - failures(size, speed, checkpoint=mode).goodput(1024) for mode in ("async", "sync")}
    # Work done while a checkpoint is written is lost with it, which is as much as standing still for it at the worst
    assert lost["async"] <= lost["sync"] * 1.2 + 1e-6


def test_a_checkpoint_of_bloom_has_its_published_size() -> None:
    # 2.3 TB with optimizer state, 329 GB of 16-bit weights (huggingface.co/blog/bloom-megatron-deepspeed, in units of
    # 2^30 bytes)
    size = checkpoint_bytes(ModelProfile.of(load_model("bigscience/bloom")), StateRules())
    assert size / 2**30 == pytest.approx(2300, rel=0.01)
    assert size / 7 / 2**30 == pytest.approx(329, rel=0.01)


def test_adapters_make_small_checkpoints() -> None:
    profile = ModelProfile.of(load_model("huggyllama/llama-7b"))
    full, lora = (checkpoint_bytes(profile, StateRules(method=method)) for method in ("full", "lora"))
    assert full == pytest.approx(14 * 6.738e9, rel=0.001)
    # LoRA, arXiv 2106.09685: r (inputs + outputs) for each matrix of 7 a layer, 14 bytes a parameter
    assert lora == pytest.approx(14 * 16 * 32 * (4 * 8192 + 3 * (4096 + 11008)), rel=0.001)


def test_an_asynchronous_checkpoint_stops_training_as_briefly_as_pytorch_reports() -> None:
    # pytorch.org/blog/reducing-checkpointing-times: a 7B model stops training for 6.3 s instead of 148.8
    assert stall_s(14 * 7e9, 143.8, 64, "async") == pytest.approx(6.3, abs=2)
    assert stall_s(14 * 7e9, 143.8, 64, "sync") == pytest.approx(148.8)


def test_spare_nodes_follow_the_failure_rate_and_agree_with_bloom() -> None:
    # BLOOM (arXiv 2211.05100, section 3.4) kept 4 spare nodes beside 48
    per_hour = 384 * CATALOG.interruption_rate("Ampere").expected
    assert spare_nodes(per_hour * 0.8, 72) == pytest.approx(4, abs=1)
    assert spare_nodes(0, 72) == 0
    assert spare_nodes(20.0, 72) >= spare_nodes(6.9, 72) > 500
    assert spare_nodes(500 / 72 + 0.001, 72) == pytest.approx(spare_nodes(500 / 72, 72), rel=0.01)


def reliability_of(performance: TrainingPerformance | Any) -> Reliability:
    assert isinstance(performance, TrainingPerformance)
    assert performance.reliability is not None
    return performance.reliability


def test_llama_3_405b_on_16384_gpus() -> None:
    # arXiv 2407.21783, section 3.3.4: more than 90 % effective training time, an interruption in three hours
    one = next(run for run in runs() if run["name"] == "llama-3.1-405b-16k")
    performance = replay(one).performance
    outlook = reliability_of(performance)
    assert outlook.mtbf_hours == pytest.approx(3, abs=0.2)
    assert performance.goodput > 0.9
    assert outlook.goodput_low < performance.goodput < outlook.goodput_high
    assert sum(outlook.time_shares.values()) == pytest.approx(1)
    assert outlook.time_shares["useful"] == pytest.approx(performance.goodput)
    assert sum(outlook.causes.values()) == pytest.approx(1)
    assert outlook.restart_s == pytest.approx(sum(outlook.restart_parts_s.values()))
    assert outlook.interruptions == pytest.approx(performance.days * 24 / outlook.mtbf_hours)


def test_97_percent_on_9600_gpus_takes_quicker_restarts_than_planned() -> None:
    # ByteRobust (arXiv 2509.16293): 97 % effective training time in three months on 9,600 GPUs, with warm standby nodes
    # and checkpoints in host memory of other nodes: a restart of some minutes
    rate = CATALOG.interruption_rate("Hopper")
    usual = FailureModel(NodeEnvironment(rate, stores=(ON_PREM_STORAGE,)), FaultTolerance(), 10**12, 8)
    quick = FailureModel(usual.node_environment, FaultTolerance(restart_minutes=2), 10**12, 8)
    assert 0.9 < usual.goodput(9600) < 0.97
    assert quick.goodput(9600) == pytest.approx(0.97, abs=0.01)


def train(tolerance: dict[str, Any] | None = None, *, deadline_days: float = 90, **rest: Any) -> Plan:
    workload: dict[str, Any] = {"kind": "training", "tokens": 1.4e12, "sequence_length": 2048}
    workload |= {"deadline_days": deadline_days}
    workload |= {"fault_tolerance": tolerance} if tolerance else {}
    placement = {"providers": ["aws"], "regions": ["us-east-1"], "instance_types": ["p4d.24xlarge"]}
    document = {"name": "run", "model": "m", "workload": workload, "placement": placement, **rest}
    return plan(read_spec(document, "spec"), load_model("huggyllama/llama-65b"), CATALOG)


SHARED = {"checkpoint_to": "shared_file_system"}


def test_slow_storage_makes_the_run_longer_and_the_note_names_a_tier_that_does_not() -> None:
    fixed = {"nodes": 64}
    slow = train(SHARED, pin=fixed)
    fast = train(SHARED, pin=fixed, storage={"shared_tib": 200})
    steps_days = slow.performance.steps * slow.performance.step_time_s / 86400  # type: ignore[union-attr]
    assert slow.performance.days > fast.performance.days > steps_days  # type: ignore[union-attr]
    assert slow.performance.days == pytest.approx(steps_days / slow.performance.goodput)  # type: ignore[union-attr]
    note = next(note for note in slow.notes if "the shared file system of" in note)
    remedy = note.partition("storage.shared_tib ")[2].split()[0]
    better = train(SHARED, pin=fixed, storage={"shared_tib": float(remedy)})
    assert better.performance.days < fast.performance.days * 1.01  # type: ignore[union-attr]
    assert not any("the shared file system of" in note for note in better.notes)


def test_the_deadline_is_met_on_effective_time() -> None:
    at_leisure = train(SHARED, deadline_days=400)
    performance = at_leisure.performance
    assert isinstance(performance, TrainingPerformance)
    work_days = performance.days * performance.goodput
    # The steps alone would keep a deadline that checkpoints, restarts and lost work do not
    deadline_days = (work_days + performance.days) / 2
    hurried = train(SHARED, deadline_days=deadline_days)
    assert hurried.performance.days <= deadline_days  # type: ignore[union-attr]
    assert hurried.choice.gpus > at_leisure.choice.gpus
    assert (hurried.cost.usd_per_run or 0) > (at_leisure.cost.usd_per_run or inf)


def test_by_default_checkpoints_leave_storage_that_is_too_slow() -> None:
    auto = train(pin={"nodes": 64})
    outlook = reliability_of(auto.performance)
    assert outlook.checkpoint_to == "object_store"
    assert outlook.write_s < 60
    assert any("checkpoints go to S3 instead" in note for note in auto.notes)
    assert any("storage.checkpoints_tib is 1, but the object store keeps at least 2" in note for note in auto.notes)
    roomy = reliability_of(train(pin={"nodes": 64}, storage={"shared_tib": 100}).performance)
    assert roomy.checkpoint_to == "shared_file_system"


def test_a_node_of_little_memory_writes_its_checkpoints_synchronously() -> None:
    # 914 GB on two nodes are 425 GiB each; a p4d has 1,152 GiB, of which half may be taken
    model = FailureModel(NodeEnvironment(host_memory_bytes=1152 * 2**30), FaultTolerance(), 914 * 10**9, 8)
    assert model.checkpoint_plan(16).mode == "async"
    small = FailureModel(NodeEnvironment(host_memory_bytes=512 * 2**30), FaultTolerance(), 914 * 10**9, 8)
    assert small.checkpoint_plan(16).mode == "sync"


def test_failure_figures_of_the_spec_replace_the_records() -> None:
    given = {"node_mtbf_days": 64, "restart_minutes": 5, "storage_gb_per_s": 100, "checkpoint": "sync"}
    outlook = reliability_of(train(given, pin={"nodes": 64}).performance)
    assert outlook.mtbf_hours == pytest.approx(24)
    assert outlook.mtbf_hours_low == outlook.mtbf_hours_high == pytest.approx(24)
    assert outlook.restart_parts_s == {"given": 300}
    assert outlook.write_s == pytest.approx(914e9 / 100e9, rel=0.01)
    assert outlook.stall_s > outlook.write_s
    assert outlook.lag_s == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"node_mtbf_days": 0},
        {"restart_minutes": 0},
        {"restart_minutes": 5000},
        {"storage_gb_per_s": -1},
        {"checkpoint": "sometimes"},
        {"checkpoint_to": "tape"},
    ],
)
def test_impossible_failure_figures_are_refused_by_field(wrong: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"workload.*fault_tolerance.{next(iter(wrong))}"):
        train(wrong)


def test_own_hardware_has_no_object_store() -> None:
    pin = {"node": {"gpu": "A100", "gpus": 8, "nic_gbit_per_s": 1600}, "nodes": 64}
    with pytest.raises(SpecError, match="checkpoint_to is object_store"):
        train({"checkpoint_to": "object_store"}, pin=pin, placement={})
    assert reliability_of(train(pin=pin, placement={}).performance).checkpoint_to == "own_storage"


def test_hopeless_failure_rates_are_no_plan() -> None:
    with pytest.raises(InfeasibleError):
        train({"node_mtbf_days": 0.1, "restart_minutes": 1440})


def test_spot_reclaims_are_a_cause() -> None:
    spot = train(capacity={"interruption": "tolerate"}, pin={"nodes": 64}, deadline_days=300)
    assert spot.choice.purchase.spot_nodes == 64
    outlook = reliability_of(spot.performance)
    assert outlook.failure_mtbf_hours > outlook.mtbf_hours
    assert outlook.causes["spot_reclaim"] == pytest.approx(1 - outlook.mtbf_hours / outlook.failure_mtbf_hours)
    assert sum(outlook.causes.values()) == pytest.approx(1)


def test_a_pace_is_what_its_parts_are() -> None:
    assert best_timing(5, 600, 100, inf) == CheckpointTiming(inf, 5, 600, 100)
    assert time_shares(best_timing(5, 600, 100, inf), inf).useful == 1
    assert time_shares(CheckpointTiming(1e9, 5, 600), 60).useful == 0


@pytest.mark.parametrize("capacity", [{}, {"interruption": "tolerate"}])
@pytest.mark.parametrize("checkpoint", ["sync", "async"])
def test_the_breakdown_holds_every_second_of_the_run_once(capacity: dict[str, Any], checkpoint: str) -> None:
    decided = train({"checkpoint": checkpoint}, capacity=capacity, pin={"nodes": 64}, deadline_days=300)
    performance = decided.performance
    assert isinstance(performance, TrainingPerformance)
    step_s, between, outlook = (
        performance.step_time_s,
        performance.breakdown_between_steps_s,
        reliability_of(performance),
    )
    assert sum(performance.breakdown_s.values()) == pytest.approx(step_s)
    assert step_s + sum(between.values()) == pytest.approx(performance.effective_step_time_s)
    assert performance.effective_step_time_s == pytest.approx(performance.days * 86400 / performance.steps)
    assert set(between) == {"checkpoints", "lost_work", "restarts"}
    # Each checkpoint stands for the work of one interval.
    assert between["checkpoints"] == pytest.approx(step_s * outlook.stall_s / outlook.interval_s)


def test_slower_checkpoints_leave_the_step_alone() -> None:
    # Step times that papers publish hold no checkpoint, so that replays must not depend on the storage.
    slow, fast = (
        train({"checkpoint": "sync", "storage_gb_per_s": rate}, pin={"nodes": 64}).performance for rate in (1, 1000)
    )
    assert isinstance(slow, TrainingPerformance)
    assert isinstance(fast, TrainingPerformance)
    assert slow.step_time_s == fast.step_time_s
    assert slow.breakdown_s == fast.breakdown_s
    assert slow.breakdown_between_steps_s["checkpoints"] > 3 * fast.breakdown_between_steps_s["checkpoints"]


def test_a_hopeless_run_is_told_as_one_percent_of_useful_work() -> None:
    # All of its shares but the useful one have to come to what days are counted by, 99 steps beside each.
    hopeless = FailureModel(NodeEnvironment(), FaultTolerance(node_mtbf_days=0.1, restart_minutes=1440), 10**12, 8)
    assert sum(hopeless.between_steps_s(4096, 10.0).values()) == pytest.approx(990)


def test_spare_nodes_cost_what_as_many_more_nodes_do() -> None:
    fixed = train({"node_mtbf_days": 20}, pin={"nodes": 64}, deadline_days=300)
    spares, cost = fixed.cost.spare_nodes, fixed.cost
    larger = train({"node_mtbf_days": 20}, pin={"nodes": 128}, deadline_days=300)
    assert spares is not None
    assert spares.nodes == reliability_of(fixed.performance).spare_nodes > 0
    a_node = ((larger.cost.usd_per_hour or 0) - (cost.usd_per_hour or 0)) / 64
    assert spares.usd_per_hour == pytest.approx(spares.nodes * a_node, rel=1e-3)
    assert spares.usd_per_run == pytest.approx(spares.usd_per_hour * fixed.performance.days * 24)  # type: ignore[union-attr]
    # They are in no sum.
    known = sum(item.usd_per_hour or 0 for item in cost.items)
    assert cost.usd_per_hour == pytest.approx(known)
    reliable = train({"node_mtbf_days": 36500}, pin={"nodes": 64}, deadline_days=300)
    assert reliable.cost.spare_nodes is None
    pin = {"node": {"gpu": "A100", "gpus": 8, "nic_gbit_per_s": 1600}, "nodes": 64}
    assert train({"node_mtbf_days": 20}, pin=pin, placement={}).cost.spare_nodes is None
