from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from in2x.artifacts import In2xError
from in2x.model.loading import save_model
from in2x.model.vocabulary import add_embeddings, extend_vocabulary, fertility, new_pieces, with_pieces

TEXTS = ["図書館で本を読む。", "図書館へ行く。", "本を読む人。", "図書館の本。", "人が読む本。"] * 4
OTHER = ["What are you doing?", "a <|user|> b", "新しい図書館、本を読む？ 123", "", " \n x"]


def ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def extended(tokenizer, number=12, first_id=None):
    pieces = new_pieces(tokenizer, TEXTS, number, 2, first_id or len(tokenizer))
    return with_pieces(tokenizer, pieces), pieces


def pairs_of(tokenizer, texts):
    """Neighbouring tokens within words, counted the slow way."""
    found = Counter()
    for text in texts:
        encoded = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
        places = list(zip(encoded.tokens, encoded.word_ids, strict=True))
        found.update((a, b) for (a, one), (b, other) in zip(places, places[1:], strict=False) if one == other)
    return found


def test_each_piece_joins_the_pair_that_saves_most(tokenizer):
    _, pieces = extended(tokenizer)
    for number, piece in enumerate(pieces):
        before = with_pieces(tokenizer, pieces[:number]) if number else tokenizer
        counts = pairs_of(before, TEXTS)
        assert counts[piece.left, piece.right] == max(counts.values())
        saved = sum(len(ids(before, text)) for text in TEXTS) - sum(
            len(ids(with_pieces(tokenizer, pieces[: number + 1]), text)) for text in TEXTS
        )
        assert 0 < saved <= counts[piece.left, piece.right]


def test_text_is_split_as_before_and_then_joined_further(tokenizer):
    longer, pieces = extended(tokenizer)
    spelled = {piece.id: list(piece.old_ids) for piece in pieces}
    for text in TEXTS + OTHER:
        flat = [old for token in ids(longer, text) for old in spelled.get(token, [token])]
        assert flat == ids(tokenizer, text)
        assert longer.decode(ids(longer, text)) == text
    assert fertility(longer, TEXTS) < 0.8 * fertility(tokenizer, TEXTS)
    assert ids(longer, OTHER[0]) == ids(tokenizer, OTHER[0])


def test_what_is_saved_loads_in_transformers(tokenizer, make_model, tmp_path):
    longer, pieces = extended(tokenizer)
    model = make_model()
    add_embeddings(model, pieces)
    save_model(model, longer, tmp_path / "model")
    again = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert all(ids(again, text) == ids(longer, text) for text in TEXTS + OTHER)
    assert (again.eos_token_id, again.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert again.chat_template == tokenizer.chat_template
    assert len(again) == len(tokenizer) + 12 == model.config.vocab_size


@pytest.mark.parametrize("tied", [True, False])
def test_new_embeddings_are_means_of_their_old_pieces(tokenizer, make_model, tied):
    model = make_model()
    if not tied:
        model.config.tie_word_embeddings = False
        model.set_output_embeddings(torch.nn.Linear(16, 320, bias=False))
    _, pieces = extended(tokenizer)
    old = [model.get_input_embeddings().weight.clone(), model.get_output_embeddings().weight.clone()]
    add_embeddings(model, pieces)
    new = [model.get_input_embeddings().weight, model.get_output_embeddings().weight]
    assert (new[0] is new[1]) == tied
    for before, after in zip(old, new, strict=True):
        assert torch.equal(after[:320], before) and len(after) == 332
        for piece in pieces:
            torch.testing.assert_close(after[piece.id], before[list(piece.old_ids)].mean(0))


def test_ids_behind_added_tokens_and_spare_rows_stay_theirs(tokenizer, make_model, tmp_path):
    """As in Qwen's tokenizers: control tokens behind the vocabulary, and an embedding with rows to spare."""
    described = tokenizer.backend_tokenizer.to_str()
    behind = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(described), eos_token="<|end|>",
                                     pad_token="<|endoftext|>")  # fmt: skip
    behind.add_special_tokens({"additional_special_tokens": ["<|extra|>"]})
    assert behind.convert_tokens_to_ids("<|extra|>") == 320
    longer, pieces = extended(behind, first_id=330)
    longer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert [piece.id for piece in pieces] == list(range(330, 342))
    assert again.convert_tokens_to_ids("<|extra|>") == 320 and ids(again, "<|extra|>") == [320]
    assert ids(again, TEXTS[0]) == ids(longer, TEXTS[0]) and max(ids(again, TEXTS[0])) >= 330


def test_the_texts_make_the_pieces_and_the_held_out_text_tells_what_they_save(tokenizer, make_model):
    texts = [f"{text}{n}" for n, text in enumerate(TEXTS)]
    model, settings = make_model(), SimpleNamespace(num_pieces=8, min_count=3)
    held_out = {"en": ["I read."] * 5, "ja": texts[:5]}
    longer, facts = extend_vocabulary(model, tokenizer, settings, texts, held_out)
    assert facts["num_pieces"] == 8 and model.get_input_embeddings().num_embeddings == 328
    assert facts["after"]["ja"] < facts["before"]["ja"] and facts["after"]["en"] == facts["before"]["en"]
    assert facts["before"]["en"] == pytest.approx(len(ids(tokenizer, "I read.")) / 7)
    assert len(longer) == 328


def test_too_little_text_and_other_tokenizers_are_refused(tokenizer):
    with pytest.raises(In2xError, match="and 500 are wanted: lower num_pieces"):
        new_pieces(tokenizer, TEXTS, 500, 2, 320)
    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    with pytest.raises(In2xError, match="only byte-level BPE.*WordLevel"):
        new_pieces(words, TEXTS, 5, 2, 320)
