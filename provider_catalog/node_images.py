"""Public parameters with which AWS names machine images."""

from typing import Final

DEEP_LEARNING_IMAGE: Final = (
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
)
"""Deep Learning Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023): NVIDIA driver, EFA installer, libfabric and
aws-ofi-nccl for P4d to P6-B300 and G5 to G6e (DLAMI developer guide, release notes of 2026-09-04)."""
