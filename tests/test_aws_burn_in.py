"""The burn-in of the validate phase under every orchestrator. Its scripts run here, with stubs for the tools."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cdk.aws.eks.burn_in import BURN_IN, REPORT
from cdk.bootstrap import BetweenNodes, BurnIn, all_reduce
from planner.plan.choice import PassThresholds, Purchase
from tests.support.aws_stacks import Documents, synthesize
from tests.support.nodes import AWS, files, unit
from tests.support.plans import example_plan

# Most of these tests synthesize stacks, which starts Node.
pytestmark = pytest.mark.slow

THRESHOLDS: Final = PassThresholds(inside_gb_per_s=204.0, between_gb_per_s=34.0)
TORCH: Final = """
import os
from types import SimpleNamespace


class Tensor:
    def __init__(self, values):
        self.values = list(values)

    def __ne__(self, other):
        return Tensor(value != other for value in self.values)

    def __getitem__(self, index):
        return Tensor([self.values[index]])

    def sum(self):
        return sum(self.values)

    def item(self):
        return self.values[0]


def tensor(values, device):
    return Tensor(values)


def ones(count, device):
    return Tensor([1.0] * 4)


def zeros(count, device):
    return Tensor([])


cuda = SimpleNamespace(set_device=lambda index: None, synchronize=lambda: None)
"""
DISTRIBUTED: Final = """
import os
import time
from types import SimpleNamespace

RANKS = int(os.environ["WORLD_SIZE"])
clock = [0.0]
time.perf_counter = lambda: clock[0]
ReduceOp = SimpleNamespace(MIN="min")


def init_process_group(backend):
    assert backend == "nccl"


def all_reduce(tensor, op=None):
    if op is None and tensor.values:
        tensor.values = [value * (RANKS - int(os.environ.get("WRONG", "0"))) for value in tensor.values]
    elif op is None:
        clock[0] += float(os.environ["SECONDS"])


get_world_size = lambda: RANKS
get_rank = lambda: 0
barrier = destroy_process_group = lambda: None
"""


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if text.startswith("#!") else f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)
    return path


def run(command: list[str], env: Mapping[str, str], folder: Path) -> tuple[int, list[str], str]:
    """Return exit code, recorded calls and output of `command`, whose tools are in `folder`/tools."""
    (folder / "calls").unlink(missing_ok=True)
    done = subprocess.run(
        command,
        env={"PATH": f"{folder / 'tools'}:{os.environ['PATH']}", "STATE": str(folder), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    calls = folder / "calls"
    return done.returncode, calls.read_text().splitlines() if calls.exists() else [], done.stdout + done.stderr


# What is measured


@pytest.mark.parametrize(
    ("ranks", "seconds", "wrong", "expected", "code"),
    # 2 (n - 1) / n x 1 GiB / t: at 16 GPUs and 20 ms 100.7 GB/s (nccl-tests, doc/PERFORMANCE.md).
    [(16, 0.02, 0, 80.0, 0), (16, 0.02, 0, 110.0, 1), (2, 0.02, 0, 60.0, 1), (16, 0.02, 1, 1.0, 1)],
    ids=["passes", "too slow", "two ranks", "wrong sums"],
)
def test_an_all_reduce_is_judged_by_its_bus_bandwidth_and_its_sums(
    ranks: int, seconds: float, wrong: int, expected: float, code: int, tmp_path: Path
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text(TORCH)
    (tmp_path / "torch/distributed.py").write_text(DISTRIBUTED)
    program = tmp_path / "all-reduce.py"
    program.write_text(all_reduce())
    env = {"LOCAL_RANK": "0", "WORLD_SIZE": str(ranks), "SECONDS": str(seconds), "WRONG": str(wrong)}
    done, _, output = run([sys.executable, str(program), str(expected)], {**env, "PYTHONPATH": str(tmp_path)}, tmp_path)
    assert done == code, output
    measured = float(re.findall(r"GPUs: ([\d.]+) GB/s", output)[0])
    assert measured == pytest.approx(2 * (ranks - 1) / ranks * 2**30 / seconds / 1e9, abs=0.05)


# Without an orchestrator

BETWEEN: Final = replace(
    AWS,
    burn_in=BurnIn(
        "aws ssm get-parameter", 204.0, BetweenNodes(3, 34.0, "registry.example/torch:1", "login", "aws ec2 describe")
    ),
)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    script(tmp_path / "burn-in-between", files(BETWEEN)["/usr/local/sbin/llmcluster-burn-in-between"])
    for tool in ("docker", "login"):
        script(tmp_path / "tools" / tool, f'echo "{tool} $*" >> "$STATE/calls"')
    script(tmp_path / "tools/hostname", "echo 10.42.0.9 172.17.0.1")
    script(tmp_path / "tools/sleep", 'echo 10.42.0.110 >> "$STATE/peers"')
    script(tmp_path / "tools/aws", 'cat "$STATE/peers"')
    (tmp_path / "peers").write_text("10.42.0.20\t10.42.0.9\n")
    return tmp_path


ENV: Final = {
    "VALIDATION_NODES": "3",
    "BETWEEN_GB_PER_S": "34.0",
    "BURN_IN_IMAGE": "registry.example/torch:1",
    "GPUS": "8",
    "RETRY_S": "15",
}


def test_nodes_wait_for_each_other_and_agree_on_their_ranks(bare: Path) -> None:
    code, calls, output = run([str(bare / "burn-in-between")], ENV, bare)
    assert code == 0, output
    assert calls[:2] == ["login ", "docker pull --quiet registry.example/torch:1"]
    (started,) = calls[2:]
    # Addresses in their numeric order: 9, 20, 110.
    assert "--nnodes 3 --node-rank 0 --nproc-per-node 8 --master-addr 10.42.0.9 --master-port 29500" in started
    assert "--network host" in started and "--device /dev/infiniband" in started and "FI_PROVIDER=efa" in started
    assert started.endswith("/burn-in/all-reduce.py 34.0")


def test_by_hand_the_nodes_are_arguments(bare: Path) -> None:
    code, calls, _ = run([str(bare / "burn-in-between"), "10.42.0.9", "10.42.0.7"], ENV, bare)
    assert code == 0
    assert "--nnodes 2 --node-rank 1" in calls[-1] and "--master-addr 10.42.0.7" in calls[-1]
    code, calls, output = run([str(bare / "burn-in-between"), "10.42.0.7"], ENV, bare)
    assert (code, calls) == (1, []) and "none of: 10.42.0.7" in output


def test_a_slow_fabric_keeps_the_node_from_work(bare: Path) -> None:
    script(bare / "tools/docker", '[ "$1" != run ]')
    assert run([str(bare / "burn-in-between")], ENV, bare)[0] != 0
    assert "docker.service" in unit(BETWEEN, "burn-in.service")["After"]


def test_a18_nodes_of_a_gang_find_each_other_and_pull_the_image(tmp_path: Path) -> None:
    gang = example_plan(nodes=4, pass_thresholds=THRESHOLDS, spec={"rollout": {"validation_nodes": 2}})
    compute = synthesize(gang, tmp_path / "gang")["compute"]
    assert "VALIDATION_NODES=2" in compute["locals"]["user_data"]
    assert "Name=tag:cluster,Values=example" in compute["locals"]["user_data"]
    (statement,) = compute["data"]["aws_iam_policy_document"]["peers"]["statement"]
    assert statement["actions"] == ["ec2:DescribeInstances"]
    images = compute["resource"]["aws_iam_role_policy_attachment"]["images"]["policy_arn"]
    assert images.endswith("policy/AmazonEC2ContainerRegistryPullOnly")

    alone = example_plan(nodes=4, pass_thresholds=THRESHOLDS, spec={"rollout": {"validation_nodes": 1}})
    compute = synthesize(alone, tmp_path / "alone")["compute"]
    assert "burn-in-between" not in compute["locals"]["user_data"]
    assert "peers" not in compute["data"]["aws_iam_policy_document"]


# Kubernetes


def orchestrated(orchestrator: str, folder: Path, **choice: Any) -> Documents:
    spec = {"orchestrator": orchestrator, "rollout": {"validation_nodes": 3}}
    fields = {"purchase": Purchase(reserved_nodes=2, on_demand_nodes=2), "pass_thresholds": THRESHOLDS, **choice}
    return synthesize(example_plan(instance_type="p5.48xlarge", nodes=4, spec=spec, **fields), folder)


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    return orchestrated("kubernetes", tmp_path_factory.mktemp("kubernetes"))


def objects(documents: Documents) -> dict[str, dict[str, Any]]:
    text = documents["compute"]["files"]["kubernetes/burn-in/burn-in.yaml"]
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def test_node_groups_follow_the_phase(kubernetes: Documents) -> None:
    groups = kubernetes["compute"]["resource"]["aws_eks_node_group"]
    assert groups["reserved"]["scaling_config"]["desired_size"] == 2
    assert groups["on_demand"]["scaling_config"]["desired_size"] == '${var.phase == "validate" ? 1 : 2}'
    assert kubernetes["compute"]["variable"]["phase"]["default"] == "full"
    assert kubernetes["compute"]["output"]["pass_thresholds"]["value"]["between_gb_per_s"] == 34.0
    # Nodes do not ask for the phase: a Job is the burn-in.
    assert "aws_ssm_parameter" not in kubernetes["compute"]["resource"]


def test_every_node_of_the_phase_is_judged_once_with_all_its_devices(kubernetes: Documents) -> None:
    job = objects(kubernetes)["Job"]["spec"]
    assert (job["completions"], job["parallelism"], job["completionMode"]) == (3, 3, "Indexed")
    assert job["backoffLimitPerIndex"] == 0
    pod = job["template"]["spec"]
    (diagnosis,), (main,) = pod["initContainers"], pod["containers"]
    assert diagnosis["resources"]["limits"] == {"nvidia.com/gpu": 8}
    assert main["resources"]["limits"] == {
        "nvidia.com/gpu": 8,
        "vpc.amazonaws.com/efa": 32,
        "hugepages-2Mi": "5120Mi",
    }
    env = {each["name"]: each.get("value") for each in main["env"]}
    assert (env["INSIDE_GB_PER_S"], env["BETWEEN_GB_PER_S"], env["NODES"]) == ("204.0", "34.0", "3")
    assert env["FI_PROVIDER"] == "efa"
    # The first pod is found by the name that the headless service gives it.
    service = objects(kubernetes)["Service"]
    assert env["MASTER"] == f"{objects(kubernetes)['Job']['metadata']['name']}-0.{service['metadata']['name']}"
    assert pod["subdomain"] == service["metadata"]["name"] and service["spec"]["clusterIP"] == "None"
    assert re.match(r"\d{12}\.dkr\.ecr\.us-east-1\.amazonaws\.com/pytorch-training:\S*-v1\.\d+$", main["image"])


def test_a18_the_burn_in_may_mark_nodes_and_nothing_else(kubernetes: Documents) -> None:
    (rule,) = objects(kubernetes)["ClusterRole"]["rules"]
    assert rule == {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"]}
    (subject,) = objects(kubernetes)["ClusterRoleBinding"]["subjects"]
    assert subject["name"] == objects(kubernetes)["Job"]["spec"]["template"]["spec"]["serviceAccountName"]
    assert subject["name"] != "job"


@pytest.mark.parametrize(
    ("healthy", "fails", "verdict", "measured"),
    [
        (True, "", "passed", ["204.0", "34.0"]),
        (False, "", "failed-dcgm", []),
        (True, "204.0", "failed-inside", ["204.0"]),
        (True, "34.0", "failed-between", ["204.0", "34.0"]),
    ],
)
def test_a_pod_writes_its_verdict_onto_its_node(
    healthy: bool, fails: str, verdict: str, measured: list[str], tmp_path: Path
) -> None:
    text = BURN_IN.replace("/result/", f"{tmp_path}/").replace("/burn-in/", f"{tmp_path}/")
    script(tmp_path / "burn-in.sh", text)
    script(
        tmp_path / "tools/torchrun",
        'for last; do true; done\necho "measured $last" >> "$STATE/calls"\n[ "$last" != "$FAILS" ]',
    )
    script(tmp_path / "tools/python3", 'echo "verdict $2" >> "$STATE/calls"')
    if healthy:
        (tmp_path / "healthy").touch()
    env = {
        "NODE_NAME": "node-1",
        "GPUS": "8",
        "NODES": "2",
        "JOB_COMPLETION_INDEX": "1",
        "MASTER": "burn-in-0.burn-in",
        "MASTER_PORT": "29500",
        "INSIDE_GB_PER_S": "204.0",
        "BETWEEN_GB_PER_S": "34.0",
        "FAILS": fails,
    }
    code, calls, _ = run(["bash", str(tmp_path / "burn-in.sh")], env, tmp_path)
    assert (code == 0) == (verdict == "passed")
    assert calls == [*(f"measured {each}" for each in measured), f"verdict {verdict}"]


def test_a_bad_verdict_is_a_taint_and_a_good_one_takes_it_away() -> None:
    scope: dict[str, Any] = {"__name__": "report"}
    exec(compile(REPORT, "report.py", "exec"), scope)  # noqa: S102 - the program under test
    key = "llmcluster/burn-in"
    assert scope["patch"]("failed-dcgm") == {
        "metadata": {"labels": {key: "failed-dcgm"}},
        "spec": {"taints": [{"key": key, "effect": "NoSchedule", "value": "failed"}]},
    }
    # Kubernetes, "Update API objects in place": lists are merged by key, and "$patch: delete" takes an element out.
    assert scope["patch"]("passed")["spec"]["taints"] == [{"$patch": "delete", "key": key}]
    assert json.dumps(scope["patch"]("passed"))


def test_one_node_is_not_measured_against_others(tmp_path: Path) -> None:
    plan = example_plan(
        nodes=1, multi_node=False, spec={"orchestrator": "kubernetes", "rollout": {"validation_nodes": 2}}
    )
    (main,) = objects(synthesize(plan, tmp_path))["Job"]["spec"]["template"]["spec"]["containers"]
    env = {each["name"]: each.get("value") for each in main["env"]}
    assert (env["NODES"], env["BETWEEN_GB_PER_S"]) == ("1", "")


# Slurm


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    return orchestrated("slurm", tmp_path_factory.mktemp("slurm"))


def test_partitions_follow_the_phase(slurm: Documents) -> None:
    compute = slurm["compute"]
    queues = {q["Name"]: q for q in yaml.safe_load(compute["locals"]["parallelcluster"])["Scheduling"]["SlurmQueues"]}
    counts = {
        name: (q["ComputeResources"][0]["MinCount"], q["ComputeResources"][0]["MaxCount"]) for name, q in queues.items()
    }
    assert counts == {"reserved": (2, 2), "on-demand": (0, "${local.on_demand_nodes}")}
    assert compute["locals"]["on_demand_nodes"] == '${var.phase == "validate" ? 1 : 2}'
    # Unquoted, so that Terraform leaves a number there.
    assert "MaxCount: ${local.on_demand_nodes}\n" in compute["locals"]["parallelcluster"]


def test_a_partition_that_waits_still_has_room_for_a_node_and_starts_none(tmp_path: Path) -> None:
    compute = orchestrated(
        "slurm", tmp_path, purchase=Purchase(on_demand_nodes=3, capacity_block_nodes=0, spot_nodes=1)
    )
    (_, spot) = yaml.safe_load(compute["compute"]["locals"]["parallelcluster"])["Scheduling"]["SlurmQueues"]
    assert (spot["ComputeResources"][0]["MinCount"], spot["ComputeResources"][0]["MaxCount"]) == (0, 1)


def test_the_job_judges_nodes_alone_and_then_together(slurm: Documents) -> None:
    job = slurm["compute"]["files"]["burn-in.sbatch"]
    assert "#SBATCH --partition=reserved\n#SBATCH --nodes=2\n" in job
    alone, between = (line for line in job.splitlines() if line.startswith("srun "))
    # A node that fails does not keep the others from being judged.
    assert "--kill-on-bad-exit=0" in alone and alone.endswith("llmcluster-burn-in alone")
    assert between.endswith("llmcluster-burn-in between")


def node_files(documents: Documents) -> dict[str, str]:
    text = documents["compute"]["locals"]["node_script"]
    return dict(re.findall(r"cat > (\S+) << 'END_OF_FILE'\n(.*?)END_OF_FILE\n", text, re.DOTALL))


@pytest.mark.parametrize(
    ("step", "fails", "reason"),
    [("alone", "", None), ("alone", "dcgmi", "dcgm"), ("alone", "run", "inside"), ("between", "run", "between")],
)
def test_a_node_that_fails_is_drained_with_the_reason(
    step: str, fails: str, reason: str | None, slurm: Documents, tmp_path: Path
) -> None:
    script(tmp_path / "burn-in", node_files(slurm)["/usr/local/sbin/llmcluster-burn-in"])
    script(tmp_path / "tools/sudo", '"$@"')
    script(tmp_path / "tools/systemctl", "true")
    script(tmp_path / "tools/aws", "true")
    script(tmp_path / "tools/dcgmi", '[ "$FAILS" != dcgmi ]')
    script(tmp_path / "tools/docker", 'echo "docker $*" >> "$STATE/calls"\n[ "$1" != run ] || [ "$FAILS" != run ]')
    script(
        tmp_path / "tools/scontrol",
        'if [ "$1" = show ]; then printf "gpu-1\\ngpu-2\\n"; else echo "scontrol $*" >> "$STATE/calls"; fi',
    )
    env = {
        "SLURMD_NODENAME": "gpu-2",
        "SLURM_JOB_NODELIST": "gpu-[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_NODEID": "1",
    }
    code, calls, output = run([str(tmp_path / "burn-in"), step], {**env, "FAILS": fails}, tmp_path)
    drained = [call for call in calls if call.startswith("scontrol")]
    assert (code, drained) == (
        (0, []) if reason is None else (1, [f"scontrol update nodename=gpu-2 state=drain reason=burn-in: {reason}"])
    ), output
    if step == "between":
        assert "--nnodes 2 --node-rank 1 --master-addr gpu-1" in next(call for call in calls if " run " in call)


def test_a18_the_script_of_the_nodes_is_out_of_their_reach(slurm: Documents) -> None:
    compute = slurm["compute"]["resource"]
    script_object = compute["aws_s3_object"]["node_script"]
    assert script_object["content"] == "${local.node_script}"
    assert script_object["bucket"] == "${aws_s3_bucket.scripts.bucket}"
    for queue in yaml.safe_load(slurm["compute"]["locals"]["parallelcluster"])["Scheduling"]["SlurmQueues"]:
        assert queue["CustomActions"]["OnNodeConfigured"]["Script"].startswith("s3://${aws_s3_bucket.scripts.bucket}/")
        (access,) = queue["Iam"]["S3Access"]
        # It is run as root: who could write it would own every node.
        assert "EnableWriteAccess" not in access
    # The bucket of the checkpoints, which jobs write to, is another one.
    statements = slurm["compute"]["data"]["aws_iam_policy_document"]["checkpoints"]["statement"]
    assert not any("scripts" in resource for statement in statements for resource in statement["resources"])
