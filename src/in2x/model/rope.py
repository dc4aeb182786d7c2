"""Rotary positions for contexts beyond those that a model was trained with.

Three kinds, in the words of transformers' `rope_parameters`, so that what is saved loads there and in vLLM:

- yarn (Peng et al., arXiv 2309.00071): low frequencies are divided by the factor, high ones stay, and cosines and sines
  are scaled by 0.1 ln(factor) + 1 each.
- linear (Chen et al., arXiv 2306.15595): every frequency is divided by the factor; position p of the new model is
  position p / factor of the old one.
- theta: another base of the angles, theta ** (-2i / D); position 0 alone stays as it was.

Each changes the model inside its old context too: it wants training after. Where layers have rotary positions by kind
of attention (Gemma 3), those of full attention are changed; sliding windows stay as short as they are.
"""

from transformers import PreTrainedModel

from in2x.artifacts import In2xError

FULL = "full_attention"
ORIGINAL = "original_max_position_embeddings"


def positions(config) -> int | None:
    """The longest context that the model is made for, in tokens."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def extend(model: PreTrainedModel, rope, context_tokens: int) -> None:
    """Give the model rotary positions up to context_tokens; `rope` is a phase's `rope` table. In place.

    Raises:
        In2xError: the model has no rotary positions, is scaled in another way already, or is long enough.
    """
    config = model.config.get_text_config()
    layered = _parameters(config)
    parameters = layered.get(FULL, layered)
    original = parameters.get(ORIGINAL) or config.max_position_embeddings
    if parameters.get("rope_type", "default") not in ("default", rope.kind):
        raise In2xError(
            f"rope: the model's positions are scaled by {parameters['rope_type']!r} already, and {rope.kind!r} can't "
            f"go on top of it; use kind {parameters['rope_type']!r}, or a base that is not scaled"
        )
    changed = _changed(parameters, rope, original, context_tokens)
    config.rope_parameters = {**layered, FULL: changed} if FULL in layered else changed
    config.max_position_embeddings = max(context_tokens, config.max_position_embeddings)
    _renew(model, config)


def refuse_too_long(config, phases) -> None:
    """Refuse phases whose context is beyond the model's positions, and that have no `rope` to mend it.

    Raises:
        In2xError: naming the first such phase.
    """
    limit = positions(config)
    for phase in phases if limit else ():
        if phase.rope:
            limit = max(limit, phase.context_tokens)
        elif phase.context_tokens > limit:
            raise In2xError(
                f"pretrain phase {phase.name!r}: context_tokens is {phase.context_tokens}, but the model has {limit} "
                'positions: give the phase a `rope`, such as { kind = "yarn" }, or a context of at most that'
            )


def _parameters(config) -> dict:
    found = getattr(config, "rope_parameters", None)
    if not found:
        raise In2xError(f"rope: {config.model_type} has no rotary positions to scale; leave `rope` out")
    return dict(found)


def _changed(parameters: dict, rope, original: int, context_tokens: int) -> dict:
    """The rope_parameters of full attention, after."""
    theta = parameters["rope_theta"]
    if rope.kind == "theta":
        if rope.theta <= theta:
            raise In2xError(f"rope.theta: expected more than the model's {theta:g}, got {rope.theta:g}")
        return parameters | {"rope_theta": float(rope.theta)}
    factor = rope.factor or context_tokens / original
    if factor <= 1:
        raise In2xError(
            f"rope: the model has {original} positions, and {context_tokens} need no scaling; leave `rope` out"
        )
    if original * factor < context_tokens:
        raise In2xError(f"rope.factor: {factor:g} times {original} positions are fewer than {context_tokens} tokens")
    if rope.kind == "linear":
        return parameters | {"rope_type": "linear", "factor": float(factor)}
    return parameters | {"rope_type": "yarn", "factor": float(factor), ORIGINAL: original}


def _renew(model: PreTrainedModel, config) -> None:
    """Make the modules that hold the frequencies anew, of the changed configuration."""
    found = [
        (parent, name, module)
        for parent in model.modules()
        for name, module in parent.named_children()
        if name.startswith("rotary_emb")
    ]
    if not found:
        raise In2xError(f"rope: {config.model_type} keeps its rotary positions where they can't be replaced")
    device = next(model.parameters()).device
    for parent, name, module in found:
        setattr(parent, name, type(module)(config).to(device))
