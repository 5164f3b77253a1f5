"""Container images of AWS. They come from the registry of the region, which private endpoints reach too."""

import re
from typing import Final

PYTORCH: Final = "pytorch-training:2.8.0-gpu-py312-cu129-ubuntu22.04-ec2-v1.33"
"""AWS Deep Learning Container with PyTorch, NCCL, libfabric and aws-ofi-nccl. CUDA 12.9 supports GPUs up to B300."""
ECR: Final = re.compile(r"\d{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?")
REGISTRY: Final = "763104351884"
REGISTRIES: Final = {
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-northeast-3": "364406365360",
    "ap-south-2": "772153158452",
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ca-west-1": "204538143572",
    "eu-central-2": "380420809688",
    "eu-south-1": "692866216735",
    "eu-south-2": "503227376785",
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
}
"""Accounts that hold the Deep Learning Containers in regions with a registry of their own; REGISTRY is the account for
all other regions (aws/sagemaker-python-sdk, image_uri_config/pytorch.json, registries)."""


def burn_in_image(region: str) -> str:
    """Image in which nodes measure the bandwidth between them."""
    return f"{_registry(region)}/{PYTORCH}"


def docker_login(region: str) -> str:
    """Shell command that logs Docker in to the registry of `burn_in_image`."""
    return _login(_registry(region), region)


def mirror_login(registry: str | None) -> str | None:
    """Shell command that logs Docker in to the user's registry; None without one, or where it is not an ECR registry.

    Nodes pull from other registries without a login, or with credentials in their image.
    """
    found = ECR.match(registry or "")
    return _login(found.group(), found["region"]) if found else None


def _login(host: str, region: str) -> str:
    return f"aws ecr get-login-password --region {region} | docker login --username AWS --password-stdin {host}"


def _registry(region: str) -> str:
    return f"{REGISTRIES.get(region, REGISTRY)}.dkr.ecr.{region}.amazonaws.com"
