"""Errors of the local AWS, and programs that hang, end a Terraform test at once."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.ec2.models.vpcs import VPCBackend
from moto.eks.models import EKSBackend
from moto.iam.models import IAMBackend
from moto.logs.models import LogsBackend
from moto.s3.models import S3Backend

from tests.support import processes
from tests.support.moto_server import MotoServer, serve
from tests.support.processes import OverdueError

# These tests start a local AWS.
pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[MotoServer]:
    with serve() as server:
        yield server


@pytest.mark.parametrize(
    ("service", "owner", "operation"),
    [
        ("ec2", VPCBackend, "describe_vpcs"),
        ("iam", IAMBackend, "list_roles"),
        ("s3", S3Backend, "list_buckets"),
        ("eks", EKSBackend, "list_clusters"),
        ("logs", LogsBackend, "describe_log_groups"),
    ],
)
def test_an_error_of_moto_is_answered_once_and_told_with_its_traceback(
    service: str, owner: type, operation: str, server: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fail(*_: Any, **__: Any) -> None:
        asked.append(1)
        raise KeyError("no such thing")

    monkeypatch.setattr(owner, operation, fail)
    with pytest.raises(ClientError, match=r"MotoFailed.*no such thing"):
        getattr(server.client(service), operation)()
    # botocore, as Terraform's provider, asks again after a 500.
    assert len(asked) == 1
    with pytest.raises(AssertionError, match=r"(?s)(POST|GET) /.*Traceback.*KeyError: 'no such thing'"):
        server.check()
    # A reset makes the default network of each region in use anew, and looks at it.
    monkeypatch.undo()
    server.reset()
    server.check()


def test_a_refusal_as_aws_gives_it_is_no_error_of_moto(server: MotoServer) -> None:
    with pytest.raises(ClientError, match=r"InvalidVpcID\.NotFound"):
        server.client("ec2").delete_vpc(VpcId="vpc-00000000000000000")
    server.check()


def test_moto_does_one_thing_at_a_time(server: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    original: Any = VPCBackend.describe_vpcs
    inside: list[int] = []
    most: list[int] = []

    def count(*args: Any, **kwargs: Any) -> Any:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        try:
            return original(*args, **kwargs)
        finally:
            inside.pop()

    client = server.client("ec2")
    client.describe_vpcs()  # moto makes the default VPC at the first request, and looks for it then
    monkeypatch.setattr(VPCBackend, "describe_vpcs", count)
    threads = [threading.Thread(target=client.describe_vpcs) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def is_gone(process_id: str) -> bool:
    for _ in range(100):
        command = ["ps", "-o", "stat=", "-p", process_id]
        if subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() in {"", "Z", "Zs"}:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("end", ["wait", "exit"])
def test_a_program_that_hangs_ends_with_its_children_and_with_what_it_printed(end: str, tmp_path: Path) -> None:
    # A child that is left behind holds on to the output, and so to whoever reads it.
    command = ["bash", "-c", f"echo begun; sleep 300 & echo $!; {end}"]
    begin = time.monotonic()
    with pytest.raises(OverdueError, match=r"over 1 s\nbegun") as late:
        processes.run(command, cwd=tmp_path, env=os.environ, timeout_s=1)
    assert time.monotonic() - begin < 60
    assert is_gone(str(late.value).split("begun\n")[1].split()[0])


def test_a_program_that_ends_leaves_nothing_behind(tmp_path: Path) -> None:
    command = ["bash", "-c", "sleep 300 > /dev/null 2>&1 & echo $!"]
    assert is_gone(processes.run(command, cwd=tmp_path, env=os.environ, timeout_s=60).stdout.strip())
