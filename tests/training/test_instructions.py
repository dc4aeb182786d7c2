"""Instructions as documents: the same from the disk as from the tokenizer, and made anew for another key."""

import copy

import numpy as np
import polars as pl
import pytest

from in2x.training import instructions
from in2x.training.instructions import instruction_documents, kept_documents, key_of

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
    file = tmp_path / "documents.safetensors"
    assert plain(kept_documents(frame, tokenizer, TASKS, file, "one")) == expected
    calls = []
    tokenised = instructions._tokenised
    monkeypatch.setattr(instructions, "_tokenised", lambda *given: calls.append(1) or tokenised(*given))
    assert plain(kept_documents(frame, tokenizer, TASKS, file, "one")) == expected
    assert not calls
    other = frame.with_columns(response=pl.lit("どうも！"))
    found = kept_documents(other, tokenizer, TASKS, file, "two")
    assert plain(found) == plain(instruction_documents(other, tokenizer, TASKS)) != expected
    assert len(calls) == 2


def test_the_key_is_of_the_texts_and_of_all_that_spells_them(frame, tokenizer, tmp_path):
    file = tmp_path / "sft.parquet"
    frame.write_parquet(file)
    template, vocabulary, end = (copy.deepcopy(tokenizer) for _ in range(3))
    template.chat_template += "\n"
    vocabulary.add_tokens(["神戸"])
    end.eos_token = "<|endoftext|>"
    keys = [key_of(one, file) for one in (tokenizer, template, vocabulary, end)]
    assert key_of(copy.deepcopy(tokenizer), file) == keys[0]
    frame.head(3).write_parquet(file)
    assert len({*keys, key_of(tokenizer, file)}) == 5


def test_no_instructions_are_no_documents(frame, tokenizer, tmp_path):
    file = tmp_path / "documents.safetensors"
    assert instruction_documents(frame.clear(), tokenizer) == []
    assert kept_documents(frame.clear(), tokenizer, [], file, "none") == []
