"""Models of transformers: from a folder or the hub, from random weights, and back to a folder. Safetensors only."""

from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from in2x import distributed
from in2x.artifacts import In2xError, atomic, read_json, write_json
from in2x.model.onednn import use_onednn
from in2x.model.tokenizer import END_OF_TEXT

CONFIGS = {"qwen3": Qwen3Config, "llama": LlamaConfig}


def load_model(path: str | Path, dtype: str = "float32") -> PreTrainedModel:
    """Load a causal language model; weights stored in half precision are computed in `dtype`.

    Raises:
        In2xError: there is no model, or some of its weights are missing, which transformers would draw at random.
    """
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            path, dtype=getattr(torch, dtype), use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        raise In2xError(f"{path}: no model could be loaded: {error}") from error
    if missing := sorted(report["missing_keys"]):
        raise In2xError(f"{path}: {len(missing)} weights are missing, such as {missing[0]}; get the model again")
    return use_onednn(model)


def stored_dtype(path: str | Path) -> str:
    """What a model's weights are stored in, by its config.json: "float32", "bfloat16" and so on."""
    return str(AutoConfig.from_pretrained(path).dtype or torch.float32).removeprefix("torch.")


def on_device(model: PreTrainedModel) -> PreTrainedModel:
    """The model where it computes fastest: on the GPU that torch sees, or else where it is."""
    return model.to("cuda") if torch.cuda.is_available() else model


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerFast:
    try:
        return AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise In2xError(f"{path}: no tokenizer could be loaded: {error}") from error


def make_model(architecture, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """A model from random weights (torch's generator must have been seeded)."""
    config = CONFIGS[architecture.family](
        vocab_size=architecture.vocab_size,
        hidden_size=architecture.hidden_size,
        intermediate_size=architecture.intermediate_size,
        num_hidden_layers=architecture.num_layers,
        num_attention_heads=architecture.num_heads,
        num_key_value_heads=architecture.num_kv_heads,
        head_dim=architecture.head_dim,
        max_position_embeddings=architecture.max_position_tokens,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return use_onednn(AutoModelForCausalLM.from_config(config))


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path, dtype=None) -> None:
    """Write model and tokenizer as a Hugging Face folder, all at once; `dtype` converts the weights ("float16").

    The main process writes, the others wait until it has. Weights that are parted among processes are written whole:
    gathered one by one, into the main process's memory; an adapter is merged into them, and written beside them to
    adapter/.
    """
    from in2x.training import lora

    whole = _state(model)

    def save() -> None:
        state = lora.merged(whole, model) if lora.has_adapter(model) else whole
        if dtype:
            state = _converted(state, getattr(torch, dtype))
        with atomic(folder) as temporary:
            model.save_pretrained(temporary, state_dict=state)
            tokenizer.save_pretrained(temporary)
            if lora.has_adapter(model):
                lora.save_adapter(whole, model, temporary / "adapter")
            if dtype:
                write_json(temporary / "config.json", read_json(temporary / "config.json") | {"dtype": dtype})

    distributed.on_main(save)


def _state(model: PreTrainedModel) -> dict[str, torch.Tensor | None]:
    """The state of the model, whole in the main process alone; tied weights stay one tensor, to be stored once."""
    from in2x.training.sharding import whole

    gathered: dict[int, torch.Tensor | None] = {}
    state = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in gathered:
            found = whole(tensor.detach())  # all processes must ask for it
            gathered[id(tensor)] = found.cpu() if distributed.is_main() else None
        state[name] = gathered[id(tensor)]
    return state


def _converted(state: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The state with floating-point tensors in `dtype`, those that are one tensor still one."""
    converted = {id(tensor): tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in state.values()}
    return {name: converted[id(tensor)] for name, tensor in state.items()}


def end_of_text_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The token that ends a document in pre-training; a chat turn ends with eos_token, often another one."""
    known = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    return tokenizer.eos_token_id if known is None or known == tokenizer.unk_token_id else known
