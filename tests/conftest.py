"""One thread, a tokenizer of 320 pieces and models with random weights, for every test that needs them."""

import pytest
import torch

torch.set_num_threads(1)

TEXTS = ["What are you doing?", "何してるの？", "I live in Kobe.", "神戸に住んでいます。", "Thank you!", "どうも！"] * 3


@pytest.fixture(scope="session")
def tokenizer():
    from in2x.model.tokenizer import train_tokenizer

    return train_tokenizer(TEXTS, vocab_size=320, max_position_tokens=64)


@pytest.fixture
def make_model(tokenizer):
    """A model of two layers and width 16 from random weights, in evaluation mode."""
    from types import SimpleNamespace

    from in2x.model.loading import make_model

    def make(seed=0, family="qwen3", **changes):
        architecture = {
            "family": family, "vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 32, "num_layers": 2,
            "num_heads": 2, "num_kv_heads": 1, "head_dim": 8, "max_position_tokens": 64,
        }  # fmt: skip
        torch.manual_seed(seed)
        return make_model(SimpleNamespace(**architecture | changes), tokenizer).eval()

    return make


@pytest.fixture
def corpus(tmp_path):
    """The folder of a corpus stage: sixty pairs of English and Japanese, eight of them held out, and no other text."""
    import json

    import polars as pl

    folder = tmp_path / "corpus"
    folder.mkdir()
    rows = [
        (f"p{n}", n, "dev" if n >= 52 else "train", "ab"[n % 2], "web", f"I live in {n}.", f"{n}に住んでいます。")
        for n in range(60)
    ]
    names = ["id", "group", "split", "domain", "origin", "source", "target"]
    pl.DataFrame(rows, schema=names, orient="row").write_parquet(folder / "pairs.parquet")
    texts = pl.DataFrame(schema=dict.fromkeys(("id", "language", "text", "origin"), pl.String))
    texts.write_parquet(folder / "text.parquet")
    (folder / "manifest.json").write_text(json.dumps({"section": {"pair": "en-ja"}}))
    return folder
