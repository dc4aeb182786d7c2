import math

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig, Qwen3Config

from in2x.artifacts import In2xError
from in2x.model.rope import extend, positions
from in2x.sections.pretrain import Rope

SIZES = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip


def tiny(config=LlamaConfig, **changes):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config(**SIZES | changes)).eval()


def frequencies(model):
    return model.model.rotary_emb.inv_freq


def logits(model, positions_T, seed=1):
    ids = torch.randint(1, 64, (1, len(positions_T)), generator=torch.Generator().manual_seed(seed))
    everything = torch.ones_like(ids)  # or else positions that skip would be read as the borders of documents
    with torch.inference_mode():
        return model(ids, position_ids=positions_T[None], attention_mask=everything, use_cache=False).logits


@pytest.mark.parametrize("config", [LlamaConfig, Qwen3Config])
def test_linear_stretches_positions(config):
    """Position 2p of the new model is position p of the old one."""
    model = tiny(config)
    before, angles = logits(model, torch.arange(20)), frequencies(model).clone()
    extend(model, Rope(kind="linear"), 128)
    torch.testing.assert_close(frequencies(model), angles / 2)
    torch.testing.assert_close(logits(model, 2 * torch.arange(20)), before)
    assert positions(model.config) == 128


def test_yarn_keeps_high_frequencies_divides_low_ones_and_scales_the_attention():
    model = tiny(rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, max_position_embeddings=1024)
    before = frequencies(model).clone()
    extend(model, Rope(kind="yarn"), 4096)
    ratio = frequencies(model) / before
    assert float(ratio[0]) == pytest.approx(1)  # 1024 / 2 pi = 163 turns in the old context: more than 32
    assert float(ratio[-1]) == pytest.approx(1 / 4)  # 0.05 turns: fewer than 1
    assert (ratio.diff() <= 1e-6).all()
    assert model.model.rotary_emb.attention_scaling == pytest.approx(0.1 * math.log(4) + 1)
    assert model.config.rope_parameters["original_max_position_embeddings"] == 1024


def test_theta_is_another_base_and_leaves_the_first_position():
    model = tiny()
    one = torch.zeros(1, dtype=torch.long)
    before, later = logits(model, one), logits(model, torch.arange(20))
    extend(model, Rope(kind="theta", theta=1e6), 256)
    torch.testing.assert_close(frequencies(model), 1e6 ** -(torch.arange(0, 16, 2) / 16))
    torch.testing.assert_close(logits(model, one), before)
    assert not torch.allclose(logits(model, torch.arange(20)), later, atol=1e-4)


@pytest.mark.parametrize(
    "rope",
    [Rope(kind="yarn"), Rope(kind="linear", factor=4), Rope(kind="theta", theta=5e6)],
    ids=lambda rope: rope.kind,
)
@pytest.mark.parametrize("config", [Qwen3Config, LlamaConfig, Gemma3TextConfig])
def test_a_model_that_is_loaded_again_is_the_same(tmp_path, config, rope):
    more = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
    model = tiny(config, **more if config is Gemma3TextConfig else {})
    plain = logits(model, torch.arange(60))
    extend(model, rope, 128)
    expected = logits(model, torch.arange(100))
    assert not torch.allclose(logits(model, torch.arange(60)), plain, atol=1e-5)
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(logits(again, torch.arange(100)), expected)
    assert positions(again.config) == 128


def test_a_later_phase_stretches_from_the_models_own_context():
    model = tiny()
    angles = frequencies(model).clone()
    extend(model, Rope(kind="yarn"), 128)
    extend(model, Rope(kind="yarn"), 256)
    assert model.config.rope_parameters["factor"] == 4.0
    assert float(frequencies(model)[-1] / angles[-1]) == pytest.approx(1 / 4)


def test_what_can_not_be_is_refused():
    with pytest.raises(In2xError, match="has 64 positions, and 32 need no scaling"):
        extend(tiny(), Rope(kind="yarn"), 32)
    with pytest.raises(In2xError, match=r"2 times 64 positions are fewer than 200"):
        extend(tiny(), Rope(kind="linear", factor=2), 200)
    with pytest.raises(In2xError, match="expected more than the model's 10000, got 500"):
        extend(tiny(), Rope(kind="theta", theta=500), 128)
    scaled = tiny()
    extend(scaled, Rope(kind="linear"), 128)
    with pytest.raises(In2xError, match="scaled by 'linear' already"):
        extend(scaled, Rope(kind="yarn"), 256)
    for wrong in ({"kind": "theta"}, {"kind": "yarn", "theta": 1e6}, {"kind": "theta", "theta": 1e6, "factor": 2}):
        with pytest.raises(ValueError, match="theta"):
            Rope(**wrong)
