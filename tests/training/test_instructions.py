"""Instructions as documents: the same from the disk as from the tokenizer, and made anew for another key."""

import copy

import numpy as np
import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.training import instructions
from in2x.training.instructions import instruction_documents, kept_documents

TALK = [{"role": "user", "content": "Thank you!"}, {"role": "assistant", "content": "どうも！"}] * 2
TASKS = ["chat", "translate"]


@pytest.fixture
def frame():
    return pl.DataFrame({
        "id": ["a", "b", "c", "d"], "task": ["translate", "chat", "translate", "translate"],
        "prompt": ["What are you doing?", "", "I live in Kobe.", "Thank you!"],
        "response": ["何してるの？", "", "神戸に住んでいます。", "どうも！"], "messages": [None, TALK, None, None],
    })  # fmt: skip


def plain(documents):
    return [(found.id, found.token_ids.tolist(), found.loss_mask.tolist(), found.group) for found in documents]


def test_prompt_and_response_are_tokenised_apart_and_the_end_is_trained(frame, tokenizer):
    document = instruction_documents(frame, tokenizer, TASKS)[0]
    prompt, response = (
        tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in ("<|user|>What are you doing?<|assistant|>", "何してるの？<|end|>")
    )
    assert document.token_ids.tolist() == prompt + response and document.token_ids.dtype == np.int32
    assert document.loss_mask.tolist() == [False] * len(prompt) + [True] * len(response)
    assert [found.group for found in instruction_documents(frame, tokenizer, TASKS)] == [1, 0, 1, 1]
    assert {found.group for found in instruction_documents(frame, tokenizer)} == {0}


@pytest.mark.parametrize("size", [1, 3, 4])
def test_chunks_change_nothing(frame, tokenizer, monkeypatch, size):
    expected = plain(instruction_documents(frame, tokenizer, TASKS))
    monkeypatch.setattr(instructions, "CHUNK", size)
    assert plain(instruction_documents(frame, tokenizer, TASKS)) == expected


def test_what_is_kept_is_not_tokenised_again(frame, tokenizer, tmp_path, monkeypatch):
    expected = plain(instruction_documents(frame, tokenizer, TASKS))
    file = tmp_path / "sft.parquet"
    frame.write_parquet(file)
    monkeypatch.setattr(instructions, "CHUNK", 3)
    found = kept_documents(file, tokenizer, TASKS, tmp_path)
    assert plain(found) == expected and found.lengths == [len(tokens) for _, tokens, _, _ in expected]
    calls = []
    pieces = instructions._pieces
    monkeypatch.setattr(instructions, "_pieces", lambda *given: calls.append(1) or pieces(*given))
    assert plain(kept_documents(file, tokenizer, TASKS, tmp_path)) == expected
    assert not calls
    other = frame.with_columns(response=pl.lit("どうも！"))
    other.write_parquet(file)
    found = kept_documents(file, tokenizer, TASKS, tmp_path)
    assert len(calls) == 2 and len(list(tmp_path.glob("documents-*"))) == 1
    assert plain(found) == plain(instruction_documents(other, tokenizer, TASKS)) != expected


def test_the_key_is_of_the_texts_and_of_all_that_spells_them(frame, tokenizer, tmp_path):
    file = tmp_path / "sft.parquet"
    frame.write_parquet(file)
    template, vocabulary, end = (copy.deepcopy(tokenizer) for _ in range(3))
    template.chat_template += "\n"
    vocabulary.add_tokens(["神戸"])
    end.eos_token = "<|endoftext|>"
    keys = [instructions._key(file, one) for one in (tokenizer, template, vocabulary, end)]
    assert instructions._key(file, copy.deepcopy(tokenizer)) == keys[0]
    frame.head(3).write_parquet(file)
    assert len({*keys, instructions._key(file, tokenizer)}) == 5


def test_no_instructions_are_no_documents(frame, tokenizer, tmp_path):
    file = tmp_path / "sft.parquet"
    frame.clear().write_parquet(file)
    assert instruction_documents(frame.clear(), tokenizer) == []
    with pytest.raises(In2xError, match="sft.parquet: no instructions to train on"):
        kept_documents(file, tokenizer, [], tmp_path)
    assert list(tmp_path.iterdir()) == [file]
