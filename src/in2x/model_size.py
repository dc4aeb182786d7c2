"""How large a model is, without torch: from its architecture, its files' headers, or its name."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from in2x.sections import Architecture, PretrainSection

FOLDER_NAMES = ("base", "bases", "checkpoints", "data", "model", "models", "output", "outputs", "recipes", "runs")


@dataclass(frozen=True)
class ModelSize:
    """num_layers, hidden_size, vocab_size and max_position_tokens are None where only the name is known."""

    num_parameters: int
    origin: str
    num_layers: int | None = None
    hidden_size: int | None = None
    vocab_size: int | None = None
    max_position_tokens: int | None = None


def is_hub_id(base: Path | str) -> bool:
    """True for "org/name" that is not a path: no folder of either name, nor one of the usual folder names."""
    text = str(base)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", text):
        return False
    first = Path(text.split("/")[0])
    return not first.is_dir() and first.name.lower() not in FOLDER_NAMES


def model_size(section: PretrainSection) -> ModelSize | None:
    """Size of the model that a recipe trains; None where nothing tells it."""
    if section.scratch:
        return _of_architecture(section.scratch)
    if is_hub_id(section.base):
        return _of_name(str(section.base))
    return _of_folder(Path(section.base))


def _of_architecture(scratch: Architecture) -> ModelSize:
    """Count the parameters of Qwen3 or Llama, with tied embeddings and without biases."""
    hidden, inner = scratch.hidden_size, scratch.intermediate_size
    queries, keys = scratch.num_heads * scratch.head_dim, scratch.num_kv_heads * scratch.head_dim
    attention = 2 * hidden * queries + 2 * hidden * keys + (2 * scratch.head_dim if scratch.family == "qwen3" else 0)
    layer = attention + 3 * hidden * inner + 2 * hidden
    return ModelSize(scratch.vocab_size * hidden + scratch.num_layers * layer + hidden, "from random weights",
                     scratch.num_layers, hidden, scratch.vocab_size, scratch.max_position_tokens)  # fmt: skip


def _of_folder(folder: Path) -> ModelSize | None:
    config = read_config(folder)
    total = sum(_num_elements(file) for file in folder.glob("*.safetensors"))
    if not config or not total:
        return None
    return ModelSize(total, str(folder), config.get("num_hidden_layers"), config.get("hidden_size"),
                     config.get("vocab_size"), config.get("max_position_embeddings"))  # fmt: skip


def read_config(folder: Path) -> dict:
    """config.json of a model folder, that of the language model within a multimodal one; {} where it can't be read."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config.get("text_config") or config if isinstance(config, dict) else {}


def _num_elements(file: Path) -> int:
    """Number of weights in a safetensors file: 8 bytes of length, then a JSON header with every shape."""
    with file.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            size = 1
            for length in tensor["shape"]:
                size *= length
            total += size
    return total


def _of_name(name: str) -> ModelSize | None:
    found = re.search(r"(?<![\d.])(\d+(?:\.\d+)?)([BM])(?![A-Za-z])", name, re.IGNORECASE)
    if not found:
        return None
    return ModelSize(round(float(found[1]) * {"B": 1e9, "M": 1e6}[found[2].upper()]), f"{name}, by its name")
