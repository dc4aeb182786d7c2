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
