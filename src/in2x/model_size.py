"""How large a model is, without torch: from its architecture, its files' headers, a table, or its name.

Letters: V vocabulary, D width of the model, I of the gated layer, L layers, Q all query heads, K all key heads.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from in2x.sections import Architecture, PretrainSection

FOLDER_NAMES = ("base", "bases", "checkpoints", "data", "model", "models", "output", "outputs", "recipes", "runs")


@dataclass(frozen=True)
class Shape:
    """The decoder of Qwen2, Qwen3 or Llama; heads are head_dim wide."""

    family: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_position_tokens: int
    is_tied: bool = True
    """Whether the head is the embedding."""

    @property
    def query_size(self) -> int:
        return self.num_heads * self.head_dim

    @property
    def key_size(self) -> int:
        return self.num_kv_heads * self.head_dim

    @property
    def layer_parameters(self) -> int:
        """2DQ + 2DK + 3DI + 2D of norms; Qwen2's projections of queries, keys and values have biases, Qwen3's norms."""
        D, Q, K = self.hidden_size, self.query_size, self.key_size
        extra = {"qwen2": Q + 2 * K, "qwen3": 2 * self.head_dim}.get(self.family, 0)
        return 2 * D * Q + 2 * D * K + 3 * D * self.intermediate_size + 2 * D + extra

    @property
    def head_parameters(self) -> int:
        return self.vocab_size * self.hidden_size

    @property
    def table_parameters(self) -> int:
        """The embedding and the head, which may be one table."""
        return self.head_parameters * (1 if self.is_tied else 2)

    @property
    def num_parameters(self) -> int:
        return self.table_parameters + self.num_layers * self.layer_parameters + self.hidden_size


PUBLISHED = {
    "Qwen/Qwen3-4B-Base": Shape("qwen3", 151_936, 2560, 9728, 36, 32, 8, 128, 32_768),
    "Qwen/Qwen3-4B": Shape("qwen3", 151_936, 2560, 9728, 36, 32, 8, 128, 40_960),
    "Qwen/Qwen3-8B-Base": Shape("qwen3", 151_936, 4096, 12_288, 36, 32, 8, 128, 32_768, is_tied=False),
    "Qwen/Qwen3-8B": Shape("qwen3", 151_936, 4096, 12_288, 36, 32, 8, 128, 40_960, is_tied=False),
    "Qwen/Qwen2.5-72B": Shape("qwen2", 152_064, 8192, 29_568, 80, 64, 8, 128, 131_072, is_tied=False),
    "Qwen/Qwen2.5-72B-Instruct": Shape("qwen2", 152_064, 8192, 29_568, 80, 64, 8, 128, 32_768, is_tied=False),
}
"""Shapes of hub models, as in their config.json: what the recipes name is planned offline."""


@dataclass(frozen=True)
class ModelSize:
    """shape is None where only the name is known."""

    num_parameters: int
    origin: str
    shape: Shape | None = None


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
    shape = Shape(**scratch.model_dump())
    return ModelSize(shape.num_parameters, "from random weights", shape)


def _of_folder(folder: Path) -> ModelSize | None:
    config = read_config(folder)
    total = sum(_num_elements(file) for file in folder.glob("*.safetensors"))
    if not config or not total:
        return None
    return ModelSize(total, str(folder), _shape(config))


def _shape(config: dict) -> Shape | None:
    """The shape in a config.json of transformers; None where it doesn't say all of it."""
    try:
        heads = config["num_attention_heads"]
        return Shape(
            config["model_type"],
            config["vocab_size"],
            config["hidden_size"],
            config["intermediate_size"],
            config["num_hidden_layers"],
            heads,
            config.get("num_key_value_heads") or heads,
            config.get("head_dim") or config["hidden_size"] // heads,
            config["max_position_embeddings"],
            config.get("tie_word_embeddings", False),
        )
    except KeyError:
        return None


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
    if name in PUBLISHED:
        return ModelSize(PUBLISHED[name].num_parameters, f"{name}, as published", PUBLISHED[name])
    found = re.search(r"(?<![\d.])(\d+(?:\.\d+)?)([BM])(?![A-Za-z])", name, re.IGNORECASE)
    if not found:
        return None
    return ModelSize(round(float(found[1]) * {"B": 1e9, "M": 1e6}[found[2].upper()]), f"{name}, by its name")
