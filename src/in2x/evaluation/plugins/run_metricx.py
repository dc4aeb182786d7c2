"""MetricX-24 and MetricX-QE through transformers: `python run_metricx.py MODEL BATCH_SIZE`.

MODEL is a folder or a hub id such as google/metricx-24-hybrid-large-v2p6; the tokenizer is mT5's, looked for beside the
model and otherwise taken from google/mt5-xl. MetricX predicts an error from 0 to 25; the score is its negative, so
that higher is better (as WMT25 stores it). A hybrid model reads the reference where there is one.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import worker

PREDICTION_TOKEN = 250089  # <extra_id_10>: its logit at the first decoder position is the predicted error
MAX_ERROR = 25.0
MAX_TOKENS = 1536
TOKENIZER = "google/mt5-xl"


def main(model_name: str, batch_size: int) -> None:
    worker.take_standard_output()
    try:
        import torch
        from transformers import AutoTokenizer, MT5ForConditionalGeneration
    except ImportError as error:
        worker.refuse(f"transformers is not installed here ({error}); pip install transformers torch sentencepiece")
    try:
        model = MT5ForConditionalGeneration.from_pretrained(model_name).eval()
        beside = (Path(model_name) / "tokenizer_config.json").exists()
        tokenizer = AutoTokenizer.from_pretrained(model_name if beside else TOKENIZER)
    except (OSError, ValueError) as error:
        worker.refuse(
            f"{model_name} could not be loaded ({error}); download the model and mT5's tokenizer where there is a "
            "network, and give their folder"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)

    @torch.inference_mode()
    def score_batch(rows: list) -> list:
        ids = [tokenizer(text(row), truncation=True, max_length=MAX_TOKENS)["input_ids"] for row in rows]
        ids = [row[:-1] if row[-1] == tokenizer.eos_token_id else row for row in ids]  # trained without the end token
        longest = max(map(len, ids))
        input_ids = torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row in ids], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids], device=device)
        start = torch.zeros((len(rows), 1), dtype=torch.long, device=device)
        logits = model(input_ids=input_ids, attention_mask=mask, decoder_input_ids=start).logits
        return (-logits[:, 0, PREDICTION_TOKEN].float().clamp(0, MAX_ERROR)).tolist()

    def score(rows: list) -> list:
        return [value for at in range(0, len(rows), batch_size) for value in score_batch(rows[at : at + batch_size])]

    worker.serve(score, False, f"metricx:{Path(model_name).name}|negated")


def text(row: dict) -> str:
    """The input as MetricX-24 was trained on it."""
    whole = f"source: {row['source']} candidate: {row['hypothesis']}"
    return f"{whole} reference: {row['reference']}" if row.get("reference") else whole


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
