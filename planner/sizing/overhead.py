"""Memory that every GPU loses to the runtime, whatever the model. Estimates, each with its range."""

GIB = 2**30

CUDA_CONTEXT_BYTES = int(0.5 * GIB)
"""CUDA context and loaded kernels. Estimate; nvidia-smi shows 0.4 to 0.6 GiB for an idle PyTorch process."""

NCCL_BUFFER_BYTES = int(0.5 * GIB)
"""NCCL channel buffers of all communicators. Estimate, 0.2 to 1 GiB: NCCL_BUFFSIZE is 4 MiB (NCCL user guide,
environment variables) for each channel and peer, and a training rank belongs to several communicators."""

SERVING_WORKSPACE_BYTES = 1 * GIB
"""Captured CUDA graphs, sampling and attention workspaces of a serving engine. Estimate, 0.5 to 2 GiB."""
