"""A local AWS on a loopback port: moto with the operations that our stacks need and moto lacks."""

import json
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from tests.support import moto_budgets, moto_eks, moto_extensions

REGION = "us-east-1"

# Read beside cdk.tf.json as an override: a bucket name cannot be a subdomain of a loopback address, so S3 is asked with
# the bucket in the path. The provider reads this setting from nowhere else, and the document under test stays as it is.
PROVIDER_OVERRIDE = {"provider": {"aws": [{"s3_use_path_style": True}]}}


@dataclass(frozen=True)
class MotoServer:
    """A running server.

    Attributes:
        url: where it listens.
        env: variables with which Terraform's AWS provider, boto3 and the AWS command line talk to it.
    """

    url: str

    @property
    def env(self) -> Mapping[str, str]:
        """Endpoint, region and dummy credentials."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            # The provider's own 25 attempts turn one lasting error into most of an hour.
            "AWS_MAX_ATTEMPTS": "6",
        }

    def client(self, service: str) -> Any:
        """A boto3 client of one service of this account."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def reset(self) -> None:
        """Forget everything created so far, as in a new account."""
        request = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")  # noqa: S310
        urllib.request.urlopen(request, timeout=120).close()  # noqa: S310

    @staticmethod
    def write_override(folder: Path) -> None:
        """Write the provider settings a local server needs into a Terraform override file beside the document."""
        (folder / "moto_override.tf.json").write_text(json.dumps(PROVIDER_OVERRIDE))


@contextmanager
def serve() -> Iterator[MotoServer]:
    """Run a server on a free loopback port until the block ends."""
    moto_extensions.install()
    moto_eks.install()
    moto_budgets.install()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield MotoServer(f"http://{host}:{port}")
    finally:
        server.stop()
