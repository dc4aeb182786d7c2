import random
import sys

import jinja2
import pytest

from in2x.model.tokenizer import ASSISTANT, CHAT_TEMPLATE, END_OF_TEXT, END_OF_TURN, USER, train_tokenizer

TEXTS = [
    "", " ", "  two  spaces ", "\n\n\tlines\r\n", "What's up?", "I don't know: 3.14%, 2,000!", "何してるの？",
    "食べさせられた。", "カタカナー・テスト", "々〆ヶ", "Ａｂｃ１２３", "\u3000全角", "é e\u0301 ｶﾞ", "한국어",
    "русский", "👨‍👩‍👧‍👦🏳️‍🌈", "\u200b\ufeff\u0000\u0007",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_comes_back(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_random_unicode_comes_back(tokenizer):
    rng = random.Random(0)
    points = [point for point in range(sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF]
    for _ in range(200):
        text = "".join(map(chr, rng.choices(points[:0x3100] if rng.random() < 0.5 else points, k=20)))
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_as_many_pieces_as_asked_for_and_every_byte_among_them(tokenizer):
    assert len(tokenizer) == 320
    assert sorted(tokenizer.get_vocab().values()) == list(range(320))
    assert tokenizer.convert_tokens_to_ids([END_OF_TEXT, USER, ASSISTANT, END_OF_TURN]) == [0, 1, 2, 3]
    assert len(train_tokenizer(["a"], 320, 64)) == 4 + 256  # nothing to merge
    assert tokenizer.model_max_length == 64


def test_japanese_is_split_where_the_script_changes(tokenizer):
    split = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str
    text = "私は神戸に住んでいるJohnのカメラ25台、もう！Don't go"
    pieces = [text[start:end] for _, (start, end) in split(text)]
    japanese = ["私は", "神戸に", "住んでいる", "John", "の", "カメラ", "2", "5", "台", "、", "もう", "！"]
    assert pieces == [*japanese, "Don't", " go"]


def test_chat_template(tokenizer):
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "やあ"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == "<|user|>Hi<|assistant|>やあ<|end|>"
    prompt = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert prompt == "<|user|>Hi<|assistant|>"
    ids = tokenizer(prompt + "やあ<|end|>")["input_ids"]
    assert ids[0] == 1 and 2 in ids and ids[-1] == 3 == tokenizer.eos_token_id
    again = tokenizer.apply_chat_template([*turns, *turns], tokenize=False)
    assert again == "<|user|>Hi<|assistant|>やあ<|end|>" * 2


def test_chat_template_refuses_a_role_it_has_no_token_for(tokenizer):
    assert "raise_exception" in CHAT_TEMPLATE
    with pytest.raises(jinja2.TemplateError, match="not system"):
        tokenizer.apply_chat_template([{"role": "system", "content": "Be kind."}], tokenize=False)
