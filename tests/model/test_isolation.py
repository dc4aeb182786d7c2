"""A packed document has the logits that it has alone, for every architecture that the documentation claims."""

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from in2x.artifacts import In2xError
from in2x.model.isolation import leak, refuse_leaks
from in2x.model.logprobs import hidden_states, selected_logits
from in2x.training.packing import Document, pack

SIZES = {
    "vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
ALTERNATING = ["sliding_attention", "full_attention"] * 2
ARCHITECTURES = {
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES),
    "qwen3-sliding": Qwen3Config(**SIZES, use_sliding_window=True, sliding_window=4, layer_types=ALTERNATING),
    "llama": LlamaConfig(**SIZES),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
    "mistral-sliding": MistralConfig(**SIZES, sliding_window=4),
    "gemma2": Gemma2Config(**SIZES, sliding_window=4, query_pre_attn_scalar=8),
    "gemma3": Gemma3TextConfig(**SIZES, sliding_window=4, query_pre_attn_scalar=8, layer_types=ALTERNATING),
}


def tiny(name, attention=None):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(ARCHITECTURES[name], attn_implementation=attention).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(6)  # at the scale of initialisation attention hardly matters
    return model


def documents(*lengths):
    rng = np.random.default_rng(1)
    return [Document(str(n), rng.integers(1, 64, length), np.ones(length, bool)) for n, length in enumerate(lengths)]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_packed_document_has_the_logits_that_it_has_alone(name, attention):
    if (name, attention) == ("gemma2", "sdpa"):
        pytest.skip("transformers offers Gemma 2 eager attention alone, on a CPU")
    model, texts = tiny(name, attention), documents(11, 10, 6, 5, 4, 3, 2, 2)
    rows = pack(texts, 16, 0)
    assert len(rows) == 3 and max(map(len, rows.lengths)) >= 3
    inputs = torch.from_numpy(rows.input_ids), torch.from_numpy(rows.position_ids)
    with torch.inference_mode():
        hidden = hidden_states(model, *inputs)
        for row, (ids, lengths) in enumerate(zip(rows.document_ids, rows.lengths, strict=True)):
            start = 0
            for id, length in zip(ids, lengths, strict=True):
                alone = model(torch.from_numpy(texts[int(id)].token_ids)[None], use_cache=False).logits[0, :-1]
                mask = torch.zeros(rows.input_ids.shape, dtype=torch.bool)
                mask[row, start + 1 : start + length] = True
                packed, _ = selected_logits(model, hidden, mask)
                torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-4)
                start += length


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_leak_is_found_where_there_is_none(name):
    assert leak(tiny(name)) < 1e-4


def test_a_sliding_window_is_really_at_work():
    """The parity above would hold as well if the window were ignored."""
    model = tiny("mistral-sliding")
    ids = torch.randint(1, 64, (1, 16), generator=torch.Generator().manual_seed(2))
    other = ids.clone()
    other[0, 0] = (ids[0, 0] + 1) % 64
    with torch.inference_mode():
        seen, changed = (hidden_states(model, x) for x in (ids, other))
    reach = 4 * (4 - 1)  # four layers, each of which sees three tokens back
    assert not torch.equal(seen[0, 1], changed[0, 1])
    torch.testing.assert_close(seen[0, reach + 1 :], changed[0, reach + 1 :], rtol=0, atol=0)


class _Leaky(torch.nn.Module):
    """A decoder that ignores where positions start again, as recurrent layers do."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, position_ids=None, **rest):
        return self.model(input_ids=input_ids, **rest)


def test_an_architecture_that_ignores_position_resets_is_refused():
    model = tiny("llama")
    refuse_leaks(model)
    decoder = _Leaky(model.get_decoder())
    model.get_decoder = lambda: decoder
    assert leak(model) > 0.01
    with pytest.raises(In2xError, match="llama: packed documents see one another.*sdpa"):
        refuse_leaks(model)


def test_a_mask_passed_beside_position_ids_leaks():
    """Why `hidden_states` passes none: transformers then no longer reads the borders from the positions."""
    model = tiny("qwen3")
    rows = pack(documents(6, 5), 11, 0)
    other = rows.input_ids.copy()
    other[0, 0] += 1
    inputs = [torch.from_numpy(x) for x in (rows.input_ids, other)]
    positions = torch.from_numpy(rows.position_ids)
    with torch.inference_mode():
        masked = [hidden_states(model, x, positions, torch.ones_like(x))[0, 6:] for x in inputs]
        plain = [hidden_states(model, x, positions)[0, 6:] for x in inputs]
    torch.testing.assert_close(plain[0], plain[1], rtol=0, atol=0)
    assert not torch.allclose(masked[0], masked[1], rtol=1e-3, atol=1e-3)


def test_recurrent_models_are_refused():
    mamba = pytest.importorskip("transformers.models.mamba").MambaConfig
    config = mamba(vocab_size=64, hidden_size=16, state_size=4, num_hidden_layers=2, pad_token_id=0)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    with pytest.raises(In2xError, match="mamba"):
        refuse_leaks(model)


def test_the_check_leaves_the_model_and_the_random_state_as_they_are():
    model = tiny("qwen3").train()
    state = torch.get_rng_state()
    leak(model)
    assert model.training and torch.equal(state, torch.get_rng_state())
