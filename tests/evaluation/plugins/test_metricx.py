"""MetricX's script with a tiny mT5 of random weights, against the model asked directly."""

import sys
from pathlib import Path

import pytest
import torch

from in2x.evaluation.plugins.host import Row, score_rows

ROWS = [Row("a b", "c d e", "f"), Row("a", "b", ""), Row("c d a b", "e", "a")]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import MT5Config, MT5ForConditionalGeneration, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("metricx")
    words = ["<pad>", "</s>", "<unk>", "source", "candidate", "reference", ":", *"abcdef"]
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    config = MT5Config(vocab_size=250112, decoder_start_token_id=0, tie_word_embeddings=False, **shape)
    model = MT5ForConditionalGeneration(config).eval()
    with torch.no_grad():  # a head that predicts an error of 12 for one input, and near that for others
        ids, start = torch.tensor([[3, 6, 7]]), torch.tensor([[0]])
        states = model(input_ids=ids, decoder_input_ids=start, output_hidden_states=True).decoder_hidden_states
        model.lm_head.weight[250089] = 12 * states[-1][0, 0] / states[-1][0, 0].square().sum()
    model.save_pretrained(folder)
    return folder


def test_errors_are_read_at_the_first_position_and_negated(model_folder, tmp_path):
    from transformers import AutoTokenizer, MT5ForConditionalGeneration

    found = score_rows("metricx", ROWS, python=Path(sys.executable), model=str(model_folder), batch_size=2,
                       cache=tmp_path / "cache")  # fmt: skip
    model = MT5ForConditionalGeneration.from_pretrained(model_folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    texts = ["source: a b candidate: c d e reference: f", "source: a candidate: b",
             "source: c d a b candidate: e reference: a"]  # fmt: skip
    with torch.no_grad():
        expected = [
            -float(model(input_ids=torch.tensor([tokenizer(text)["input_ids"][:-1]]),
                         decoder_input_ids=torch.tensor([[0]])).logits[0, 0, 250089].clamp(0, 25))
            for text in texts
        ]  # fmt: skip
    assert found.values == pytest.approx(expected, abs=1e-4)
    assert found.signature.endswith("negated") and len(set(expected)) == 3 and max(expected) < 0
