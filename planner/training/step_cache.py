"""What searches of one model share: step times and memory, which neither tokens, deadline nor budget change."""

from dataclasses import dataclass, field

from planner.sizing.efficiency import KernelRates
from planner.sizing.optimizer_state import StateRules
from planner.sizing.profile import ModelProfile
from planner.spec import TrainingWorkload
from planner.training.compression import Compression
from planner.training.fullest_gpu import FullestGpu
from planner.training.step_time import StepModel
from provider_catalog.hardware import NodeTopology
from provider_catalog.precision import Precision


@dataclass(frozen=True, slots=True)
class StepCache:
    """Step models and memory of one model, by all that they depend on. Whoever plans again passes it on."""

    _step_models: dict[tuple[object, ...], StepModel] = field(default_factory=dict)
    _fullest: dict[tuple[object, ...], FullestGpu] = field(default_factory=dict)

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
        """Step times of a workload on one kind of node.

        Args:
            profile: of the model, as `precision` has it.
            workload: what is trained.
            rules: how it keeps its training state.
            compression: what it exchanges instead of gradients.
            precision: of the products.
            compute_headroom: share of the peak that is kept free.
            node: kind of node.
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

    def fullest_gpu(
        self, profile: ModelProfile, workload: TrainingWorkload, rules: StateRules, precision: Precision
    ) -> FullestGpu:
        """Memory of a workload as a search asks for it.

        Args:
            profile: of the model, as `precision` has it.
            workload: what is trained.
            rules: how it keeps its training state.
            precision: of the products.
        """
        length, flash = workload.sequence_length, workload.flash_attention
        key = (precision, rules, length, flash)
        if key not in self._fullest:
            self._fullest[key] = FullestGpu(profile, rules, length, flash)
        return self._fullest[key]
