"""Models of transformers: from a folder or the hub, from random weights, and back to a folder. Safetensors only."""

from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from in2x.artifacts import In2xError, atomic
from in2x.model.tokenizer import ASSISTANT, END_OF_TEXT

CONFIGS = {"qwen3": Qwen3Config, "llama": LlamaConfig}


def load_model(path: str | Path, dtype: str = "float32") -> PreTrainedModel:
    """Load a causal language model; weights stored in half precision are computed in `dtype`."""
    try:
        return AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype), use_safetensors=True)
    except (OSError, ValueError) as error:
        raise In2xError(f"{path}: no model could be loaded: {error}") from error


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
    return AutoModelForCausalLM.from_config(config)


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path, dtype=None) -> None:
    """Write model and tokenizer as a Hugging Face folder, all at once; `dtype` converts the weights ("float16")."""
    state = {name: tensor.to(getattr(torch, dtype)) if dtype else tensor for name, tensor in model.state_dict().items()}
    with atomic(folder) as temporary:
        model.save_pretrained(temporary, state_dict=state, safe_serialization=True)
        tokenizer.save_pretrained(temporary)


def end_of_text_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The token that ends a document in pre-training; a chat turn ends with eos_token, often another one."""
    known = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    return tokenizer.eos_token_id if known is None or known == tokenizer.unk_token_id else known


def has_chat_template(tokenizer: PreTrainedTokenizerFast) -> bool:
    return bool(tokenizer.chat_template) or ASSISTANT in tokenizer.get_vocab()
