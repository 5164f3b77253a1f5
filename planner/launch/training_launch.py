"""The launch of a training plan by torchrun and Megatron-LM's pretrain_gpt.py."""

from planner.errors import SpecError
from planner.launch.commands import HEAD, NODE_RANK, Command, Launch, fabric_environment, flags
from planner.plan.performance import TrainingPerformance
from planner.plan.plan import Plan
from planner.spec import TrainingWorkload
from planner.training.compression import METHODS
from provider_catalog.architecture import LayerGroup, ModelArchitecture
from provider_catalog.collective_environment import Variable
from provider_catalog.software_matrix import SoftwareMatrix

ENGINE = "megatron-lm"
MASTER_PORT = 29500
ENTRY = "${MEGATRON_FOLDER}/pretrain_gpt.py"
FAMILIES: dict[str, dict[str, bool]] = {
    "llama": {},
    "mistral": {},
    "mixtral": {},
    "qwen2": {"add_qkv_bias": True},
    "qwen3": {"qk_layernorm": True},
    "qwen3_moe": {"qk_layernorm": True},
}
"""Flags by model family. All are decoders of identical layers with RMSNorm, rotary embedding and gated MLPs."""
ONE_QUEUE = Variable(
    variable="CUDA_DEVICE_MAX_CONNECTIONS",
    value="1",
    reason="with tensor parallelism communication must be queued before the computation that hides it",
    source="Megatron-LM, megatron/training/arguments.py",
)
CHECKPOINTS_IN_OBJECTS = "where checkpoints go, a mount of the object store"
"""Meaning of CHECKPOINT_FOLDER on a cluster without a shared file system."""
CHECKPOINT_STEPS = 500
"""Steps between checkpoints where the plan has no reliability part."""


def training_launch(plan: Plan, architecture: ModelArchitecture, software: SoftwareMatrix) -> Launch:
    """Return the launch of a training plan.

    Raises:
        SpecError: The plan is not for training, it trains adapters, or Megatron-LM's GPT does not have the model's
            layers.
    """
    performance, workload = plan.performance, plan.spec.workload
    if not isinstance(performance, TrainingPerformance) or not isinstance(workload, TrainingWorkload):
        raise SpecError(f"workload.kind is {workload.kind}; Megatron-LM launches training and finetuning only")
    if workload.method != "full":
        raise SpecError(f"workload.method is {workload.method}; Megatron-LM's pretrain_gpt.py trains method: full only")
    if workload.gradient_compression != "none":
        raise SpecError(
            f"workload.gradient_compression is {workload.gradient_compression}, which Megatron-LM's pretrain_gpt.py"
            f" does not support; use {METHODS[workload.gradient_compression].software}"
        )
    group = _one_kind_of_layer(architecture)
    documented = software.engine_flags[ENGINE]
    choice, reliability = plan.choice, performance.reliability
    arguments = (
        *_model(architecture, group, workload),
        *_layout(plan, workload, performance, _places_left(plan, architecture)),
        *flags(
            data_path="${DATA_PATH}",
            tokenizer_type="HuggingFaceTokenizer",
            tokenizer_model="${TOKENIZER_PATH}",
            save="${CHECKPOINT_FOLDER}",
            load="${CHECKPOINT_FOLDER}",
            save_interval=CHECKPOINT_STEPS if reliability is None else reliability.interval_steps,
            async_save=reliability is not None and reliability.checkpoint == "async",
        ),
    )
    return Launch(
        engine=ENGINE,
        version=documented.version,
        flags_from=documented.source,
        nodes=choice.nodes,
        nodes_per_gang=choice.nodes,
        replicas_per_gang=1,
        commands=(
            Command(
                node_rank=None,
                argv=("torchrun", *_torchrun(choice.nodes, choice.gpus // choice.nodes), ENTRY, *arguments),
            ),
        ),
        environment=(*fabric_environment(plan), *((ONE_QUEUE,) if choice.layout.tensor > 1 else ())),
        notes=_notes(plan, workload, _places_left(plan, architecture)),
        meanings={} if plan.spec.storage.shared_tib else {"CHECKPOINT_FOLDER": CHECKPOINTS_IN_OBJECTS},
    )


def _one_kind_of_layer(architecture: ModelArchitecture) -> LayerGroup:
    group = architecture.layers[0]
    if len(architecture.layers) > 1 or architecture.model_type not in FAMILIES:
        raise SpecError(
            f"model: {architecture.name} ({architecture.model_type}) is not one of the families that flags of"
            f" pretrain_gpt.py can describe: {', '.join(FAMILIES)}; write its model definition by hand"
        )
    return group


def _torchrun(nodes: int, gpus: int) -> tuple[str, ...]:
    several = nodes > 1
    return flags(
        nnodes=nodes,
        nproc_per_node=gpus,
        node_rank=NODE_RANK if several else None,
        master_addr=HEAD if several else None,
        master_port=MASTER_PORT if several else None,
    )


def _model(architecture: ModelArchitecture, group: LayerGroup, workload: TrainingWorkload) -> tuple[str, ...]:
    attention, forward = group.attention, group.feed_forward
    moe = forward.kind == "moe"
    grouped = attention.kv_heads != attention.heads
    return flags(
        num_layers=architecture.layer_count,
        hidden_size=architecture.hidden_size,
        ffn_hidden_size=forward.expert_intermediate_size if moe else forward.intermediate_size,
        num_attention_heads=attention.heads,
        group_query_attention=grouped,
        num_query_groups=attention.kv_heads if grouped else None,
        kv_channels=attention.head_dim,
        normalization="RMSNorm",
        position_embedding_type="rope",
        disable_bias_linear=True,
        **FAMILIES[architecture.model_type],
        swiglu=forward.gated,
        num_experts=forward.experts if moe else None,
        moe_router_topk=forward.experts_per_token if moe else None,
        moe_token_dispatcher_type="alltoall" if moe else None,
        untie_embeddings_and_output_weights=not architecture.tied_embeddings,
        seq_length=workload.sequence_length,
        max_position_embeddings=architecture.max_position_embeddings or workload.sequence_length,
    )


def _places_left(plan: Plan, architecture: ModelArchitecture) -> int:
    """Return the number of layers that the model lacks for equal pipeline chunks."""
    layout = plan.choice.layout
    return -architecture.layer_count % (layout.pipeline * layout.virtual_stages)


def _layout(
    plan: Plan, workload: TrainingWorkload, performance: TrainingPerformance, places_left: int
) -> tuple[str, ...]:
    layout, weights = plan.choice.layout, plan.choice.weights
    sequences = max(1, round(workload.global_batch_tokens / workload.sequence_length))
    sharded = layout.zero_stage >= 1
    full = layout.recompute == "full"
    return flags(
        tensor_model_parallel_size=layout.tensor,
        pipeline_model_parallel_size=layout.pipeline,
        num_virtual_stages_per_pipeline_rank=layout.virtual_stages if layout.virtual_stages > 1 else None,
        # Head and embedding count as one layer each, so that Megatron's stages equal those of the plan.
        account_for_loss_in_pipeline_split=places_left in (1, 2),
        account_for_embedding_in_pipeline_split=places_left == 2,
        context_parallel_size=layout.context if layout.context > 1 else None,
        # The plan sends keys and values around a ring, and splits experts as it splits the layers around them.
        cp_comm_type="p2p" if layout.context > 1 else None,
        expert_model_parallel_size=layout.expert if layout.expert > 1 else None,
        expert_tensor_parallel_size=layout.tensor if layout.expert > 1 else None,
        sequence_parallel=layout.sequence_parallel,
        use_distributed_optimizer=sharded,
        overlap_grad_reduce=sharded,
        overlap_param_gather=sharded,
        micro_batch_size=layout.micro_batch,
        global_batch_size=sequences,
        train_iters=performance.steps,
        bf16=weights in ("bf16", "fp8"),
        fp16=weights == "fp16",
        fp8_format="hybrid" if weights == "fp8" else None,
        accumulate_allreduce_grads_in_fp32=workload.gradient_precision == "fp32",
        recompute_granularity=None if layout.recompute == "none" else layout.recompute,
        recompute_method="uniform" if full else None,
        recompute_num_layers=1 if full else None,
        attention_backend="flash" if workload.flash_attention else "unfused",
        optimizer="sgd" if workload.optimizer == "sgd-momentum" else "adam",
    )


def _notes(plan: Plan, workload: TrainingWorkload, places_left: int) -> tuple[str, ...]:
    layout = plan.choice.layout
    notes = [
        "learning rate, warm-up and weight decay are not part of the plan: pass them to the script (--lr 1.5e-4 ...);"
        " --rotary-base is rope_theta of config.json"
    ]
    if plan.topology is not None and plan.topology.groups:
        notes.append(
            f"the plan's process groups assume that ranks are numbered in the order {plan.topology.rank_order}, node by"
            " node by NODE_RANK: do not use --use-tp-pp-dp-mapping, and give a replacement node the rank of the old one"
        )
    reliability = plan.performance.reliability if isinstance(plan.performance, TrainingPerformance) else None
    if reliability is not None and reliability.checkpoint_to == "object_store":
        notes.append(
            "the plan writes checkpoints to the object store: CHECKPOINT_FOLDER must be a mount of it (Mountpoint for"
            " Amazon S3, BlobFuse)"
        )
    if places_left > 2:
        notes.append(
            f"the model lacks {places_left} layers for equal pipeline stages: use --pipeline-model-parallel-layout to"
            " fill their places with embedding, head and a multi-token-prediction layer"
        )
    if layout.zero_stage > 1:
        notes.append(
            f"the plan uses ZeRO {layout.zero_stage}, but the distributed optimizer shards optimizer state only (stage"
            " 1): a GPU needs more memory than planned"
        )
    if layout.schedule in ("zero-bubble", "dualpipe"):
        notes.append(
            f"the plan uses schedule {layout.schedule}; Megatron-LM runs 1F1B, or interleaved with virtual stages"
        )
    if workload.optimizer not in ("adamw", "sgd-momentum"):
        notes.append(f"the plan uses optimizer {workload.optimizer}; the script sets the closest one it has, adam")
    return tuple(notes)
