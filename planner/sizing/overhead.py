"""Memory that the runtime takes on every GPU, whatever the model. All values are estimates with a range."""

GIB = 2**30
MIB = 2**20

CUDA_CONTEXT_BYTES = int(0.5 * GIB)
"""CUDA context and loaded kernels. Estimate; nvidia-smi shows 0.4 to 0.6 GiB for an idle PyTorch process."""

NCCL_BUFFER_BYTES = int(0.5 * GIB)
"""NCCL channel buffers of all communicators of a serving rank. Estimate, 0.2 to 1 GiB."""

NCCL_COMMUNICATOR_BYTES = 192 * MIB
"""NCCL buffers of one communicator of a training rank: NCCL_BUFFSIZE is 4 MiB (NCCL user guide, environment
variables), one to send and one to receive on each of about 24 channels. Estimate, 64 to 512 MiB."""

FRAGMENTATION_FRACTION = 0.05
"""Memory that PyTorch's caching allocator holds but cannot use, as a share of activations and temporary buffers, which
come and go in a step. Weights, states and the buffers of ZeRO are allocated once. Estimate with expandable segments,
0.02 to 0.10; without them GMLake (arXiv 2401.08156, section 2) saw up to a third of all memory."""

SERVING_WORKSPACE_BYTES = 1 * GIB
"""Captured CUDA graphs, sampling and attention workspaces of a serving engine. Estimate, 0.5 to 2 GiB."""
