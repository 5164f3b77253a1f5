"""Step times and memory that the searches of one model share: tokens, deadline and budget do not change them."""

from dataclasses import dataclass, field

from planner.sizing.efficiency import KernelRates
from planner.sizing.optimizer_state import StateRules
from planner.sizing.profile import ModelProfile
from planner.spec import TrainingWorkload
from planner.training.compression import Compression
from planner.training.peak_gpu_memory import PeakGpuMemory
from planner.training.step_time import StepModel
from provider_catalog.hardware import NodeTopology
from provider_catalog.precision import Precision


@dataclass(frozen=True, slots=True)
class StepCache:
    """Step and memory models of one model by everything they depend on; callers that plan again pass the cache on."""

    _step_models: dict[tuple[object, ...], StepModel] = field(default_factory=dict)
    _peak_gpu_memory: dict[tuple[object, ...], PeakGpuMemory] = field(default_factory=dict)

    def step_model(
        self,
        profile: ModelProfile,
        workload: TrainingWorkload,
        rules: StateRules,
        compression: Compression | None,
        precision: Precision,
        compute_headroom: float,
        node: NodeTopology,
    ) -> StepModel:
        """Return the step times of a workload on one kind of node.

        Args:
            profile: Profile of the model in `precision`.
            workload: Training workload.
            rules: Formats and optimizer of the training state.
            compression: Gradient compression; None without.
            precision: Format of the products.
            compute_headroom: Share of the peak that is kept free.
            node: Kind of node.
        """
        length, flash = workload.sequence_length, workload.flash_attention
        rates = KernelRates.of(node.gpu, precision, compute_headroom, workload.flash_attention_version)
        machine = (node.gpu.name, node.gpus, node.nvlink_gb_per_s, node.nic_gbit_per_s)
        key = (precision, rules, compression, rates, length, flash, workload.software, machine)
        if key not in self._step_models:
            self._step_models[key] = StepModel(
                profile, node, rules, rates, length, flash, compression, workload.software
            )
        return self._step_models[key]

    def peak_gpu_memory(
        self, profile: ModelProfile, workload: TrainingWorkload, rules: StateRules, precision: Precision
    ) -> PeakGpuMemory:
        """Return the memory of the fullest GPU for a workload, memoised.

        Args:
            profile: Profile of the model in `precision`.
            workload: Training workload.
            rules: Formats and optimizer of the training state.
            precision: Format of the products.
        """
        length, flash = workload.sequence_length, workload.flash_attention
        key = (precision, rules, length, flash)
        if key not in self._peak_gpu_memory:
            self._peak_gpu_memory[key] = PeakGpuMemory(profile, rules, length, flash)
        return self._peak_gpu_memory[key]
