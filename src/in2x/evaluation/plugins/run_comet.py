"""COMET, XCOMET and CometKiwi through unbabel-comet: `python run_comet.py MODEL BATCH_SIZE`.

MODEL is a checkpoint file, a folder that holds one, or a hub id such as Unbabel/wmt22-cometkiwi-da.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import worker


def main(model_name: str, batch_size: int) -> None:
    worker.take_standard_output()
    try:
        import comet
        import torch
    except ImportError as error:
        worker.refuse(f"unbabel-comet is not installed here ({error}); pip install unbabel-comet in this environment")
    try:
        model = comet.load_from_checkpoint(str(_checkpoint(comet, model_name)))
    except Exception as error:
        worker.refuse(
            f"the weights of {model_name} could not be loaded ({type(error).__name__}: {error}); accept their licence "
            "on the hub, download them where there is a network, and give the checkpoint's path"
        )
    needs_reference = bool(model.requires_references())

    def score(rows: list) -> list:
        keys = {"src": "source", "mt": "hypothesis"} | ({"ref": "reference"} if needs_reference else {})
        data = [{ours: row[theirs] for ours, theirs in keys.items()} for row in rows]
        gpus = int(torch.cuda.is_available())
        return model.predict(data, batch_size=batch_size, gpus=gpus, progress_bar=False).scores

    version = getattr(comet, "__version__", "unknown")
    worker.serve(score, needs_reference, f"comet:{Path(model_name).name}|package:{version}")


def _checkpoint(comet, name: str) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        found = sorted(path.rglob("*.ckpt"))
        if not found:
            raise FileNotFoundError(f"no .ckpt file in {path}")
        return found[0]
    return Path(comet.download_model(name))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
