"""Default lengths of sequences that a model with short sequences does not support."""

from planner.spec import ClusterSpec, InferenceWorkload
from provider_catalog.architecture import ModelArchitecture


def within_model(spec: ClusterSpec, architecture: ModelArchitecture) -> ClusterSpec:
    """Returns the spec with lengths that the user left out shortened to what the model supports.

    Lengths that the user gave stay as they are; the search refuses them if they are too long.
    """
    limit, workload = architecture.max_position_embeddings, spec.workload
    if limit is None:
        return spec
    given = workload.model_fields_set
    if isinstance(workload, InferenceWorkload):
        prompt, output = workload.prompt_tokens, workload.output_tokens
        if prompt + output <= limit or limit < 2 or {"prompt_tokens", "output_tokens"} <= given:
            return spec
        if "prompt_tokens" in given:
            lengths = {"output_tokens": limit - prompt}
        elif "output_tokens" in given:
            lengths = {"prompt_tokens": limit - output}
        else:
            prompt = max(1, limit * prompt // (prompt + output))
            lengths = {"prompt_tokens": prompt, "output_tokens": limit - prompt}
    elif workload.sequence_length > limit and "sequence_length" not in given:
        lengths = {"sequence_length": limit}
    else:
        return spec
    if min(lengths.values()) < 1:
        return spec
    return spec.model_copy(update={"workload": workload.model_copy(update=lengths)})
