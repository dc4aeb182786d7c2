import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from in2x.artifacts import In2xError
from in2x.model.loading import end_of_text_id, load_model, load_tokenizer, save_model


def same(one, other):
    found, expected = one.state_dict(), other.state_dict()
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_saved_model_loads_as_it_was(make_model, tokenizer, tmp_path):
    model = make_model()
    save_model(model, tokenizer, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert same(loaded, model) and loaded.dtype == torch.float32
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
    assert [path.name for path in tmp_path.iterdir()] == ["model"]  # nothing is left of the writing


def test_half_precision_is_rounded_once_and_tied_weights_are_stored_once(make_model, tokenizer, tmp_path):
    model = make_model()
    save_model(model, tokenizer, tmp_path / "model", "float16")
    stored = load_file(tmp_path / "model/model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    assert stored.keys() == dict(model.named_parameters()).keys()
    assert json.loads((tmp_path / "model/config.json").read_text())["dtype"] == "float16"
    assert same(load_model(tmp_path / "model"), make_model().half().float())
    assert load_model(tmp_path / "model", "float16").dtype == torch.float16
    assert model.dtype == torch.float32 and same(model, make_model())  # the model in memory stays as it is


@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_families(make_model, family):
    model = make_model(family=family)
    assert model.config.model_type == family
    assert model.config.tie_word_embeddings and model.config.eos_token_id == 3 and model.config.pad_token_id == 0


def test_missing_weights_are_refused(make_model, tokenizer, tmp_path):
    save_model(make_model(), tokenizer, tmp_path / "model")
    path = tmp_path / "model/model.safetensors"
    weights = load_file(path)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(In2xError, match="1 weights are missing, such as model.layers.1.mlp.up_proj.weight"):
        load_model(tmp_path / "model")


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(In2xError, match="no model could be loaded"):
        load_model(tmp_path)
    with pytest.raises(In2xError, match="no tokenizer could be loaded"):
        load_tokenizer(tmp_path)


def test_a_saved_tokenizer_is_the_same(make_model, tokenizer, tmp_path):
    save_model(make_model(), tokenizer, tmp_path / "model")
    loaded = load_tokenizer(tmp_path / "model")
    text = "Thank  you!\n<|user|> どうも 🎌"
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded.decode(loaded(text)["input_ids"]) == text
    assert loaded.chat_template == tokenizer.chat_template
    assert (loaded.eos_token, loaded.pad_token) == ("<|end|>", "<|endoftext|>")
    assert loaded.chat_template


def test_end_of_text_is_not_the_end_of_a_turn(tokenizer):
    assert end_of_text_id(tokenizer) == tokenizer.convert_tokens_to_ids("<|endoftext|>") != tokenizer.eos_token_id
