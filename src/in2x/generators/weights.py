"""The policy's weights on disk, for an engine that reads them: a Hugging Face folder of safetensors, the head untied.

vLLM (0.32) that reloads weights leaves a head that is tied to the embedding as it was: the folder therefore holds the
head as a tensor of its own, and a configuration that says so. An engine must be started from such a folder:

    python -m in2x.generators.weights MODEL FOLDER

A written folder is never changed: each set of weights has a folder of its own, and the ones before are removed once
the engine has read the new one.
"""

import shutil
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from in2x import distributed
from in2x.artifacts import read_json, write_json
from in2x.model.loading import load_model, load_tokenizer, save_model

INDEX = "model.safetensors.index.json"
FIRST_FILE, HEAD_FILE = "model-first.safetensors", "model-head.safetensors"


class WeightsFolder:
    """Knows whether the policy has changed since it was last written, by sums over the bits of its weights.

    Torch's own count of a tensor's changes does not do: fused optimizers change weights without counting.
    """

    def __init__(self, folder: Path):
        self.folder, self.number, self._written = folder.absolute(), 0, None

    def write_if_changed(self, model: torch.nn.Module, tokenizer) -> Path | None:
        """The folder of the policy's weights, where they are not the ones written last; all processes wait for it."""
        state = distributed.gather([_bits(parameter) for parameter in model.parameters()])
        if state == self._written:
            return None
        self._written, self.number = state, self.number + 1
        path = self.folder / f"weights-{self.number:06}"
        save_untied(model, tokenizer, path)
        return path

    def remove_others(self, path: Path) -> None:
        """Remove all weights but these."""
        if distributed.is_main():
            for other in self.folder.glob("weights-*"):
                if other != path:
                    shutil.rmtree(other)


def save_untied(model: torch.nn.Module, tokenizer, folder: Path, head_scale: float = 1.0) -> None:
    """Write the model with its head as a tensor of its own, times `head_scale`; all processes wait until it is."""
    save_model(model, tokenizer, folder)
    if not model.config.tie_word_embeddings:
        return
    head = model.get_output_embeddings()
    weight = head.weight.detach()
    weight = weight.full_tensor() if hasattr(weight, "full_tensor") else weight
    name = next(name for name, module in model.named_modules() if module is head) + ".weight"

    def write() -> None:
        save_file({name: (weight * head_scale).cpu().contiguous()}, folder / HEAD_FILE, {"format": "pt"})
        write_json(folder / "config.json", read_json(folder / "config.json") | {"tie_word_embeddings": False})
        if not (folder / INDEX).exists():
            (folder / "model.safetensors").rename(folder / FIRST_FILE)
            with safe_open(folder / FIRST_FILE, "pt") as tensors:
                write_json(folder / INDEX, {"metadata": {}, "weight_map": dict.fromkeys(tensors.keys(), FIRST_FILE)})
        index = read_json(folder / INDEX)
        index["weight_map"][name] = HEAD_FILE
        write_json(folder / INDEX, index)

    distributed.on_main(write)


BITS = {4: torch.int32, 2: torch.int16}  # by bytes of a weight


def _bits(parameter: torch.Tensor) -> tuple[int, int]:
    """Sums of a tensor's bit patterns and of their squares, modulo 2^64; of this process's part where it is parted."""
    local = parameter.detach().to_local() if hasattr(parameter, "to_local") else parameter.detach()
    patterns = local.contiguous().view(BITS[local.element_size()]).long()
    return int(patterns.sum()), int((patterns * patterns).sum())


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python -m in2x.generators.weights MODEL FOLDER")
    save_untied(load_model(sys.argv[1]), load_tokenizer(sys.argv[1]), Path(sys.argv[2]))
