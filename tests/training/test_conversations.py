import copy

import numpy as np
import pytest

from in2x.artifacts import In2xError
from in2x.training.conversations import conversation_document, turns
from in2x.training.packing import pack

TALK = [
    {"role": "user", "content": "What are you doing?"},
    {"role": "assistant", "content": "何してるの？"},
    {"role": "user", "content": "Thank you!"},
    {"role": "assistant", "content": "どうも！"},
]
CHATML = (
    "{% for m in messages %}{{ '<|user|>' + m['role'] + '\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|user|>assistant\n' }}{% endif %}"
)


def with_template(tokenizer, template):
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = template
    return changed


def runs(tokenizer, document, rows=None):
    """Decoded runs of tokens that are trained."""
    found, current = [], []
    for token, trained in [*zip(document.token_ids.tolist(), document.loss_mask.tolist(), strict=True), (0, False)]:
        if trained:
            current.append(token)
        elif current:
            found.append(tokenizer.decode(current))
            current = []
    return found


def test_exactly_the_assistants_turns_and_their_end_tokens_are_trained(tokenizer):
    document = conversation_document(tokenizer, "c", TALK, 3)
    assert runs(tokenizer, document) == ["何してるの？<|end|>", "どうも！<|end|>"]
    assert tokenizer.decode(document.token_ids) == (
        "<|user|>What are you doing?<|assistant|>何してるの？<|end|><|user|>Thank you!<|assistant|>どうも！<|end|>"
    )
    assert document.group == 3
    rows = pack([document, conversation_document(tokenizer, "d", TALK[2:])], len(document.token_ids) + 60, 0)
    trained = rows.input_ids[rows.loss_mask].tolist()
    assert tokenizer.decode(trained) == "何してるの？<|end|>どうも！<|end|>どうも！<|end|>"


def test_what_the_template_writes_after_the_end_token_belongs_to_the_next_prompt(tokenizer):
    chatml = with_template(tokenizer, CHATML)
    system = {"role": "system", "content": "Be brief."}
    document = conversation_document(chatml, "c", [system, *TALK, {"role": "user", "content": "Bye"}])
    assert runs(tokenizer, document) == ["何してるの？<|end|>", "どうも！<|end|>"]
    text = tokenizer.decode(document.token_ids)
    assert text.startswith("<|user|>system\nBe brief.<|end|>\n<|user|>user\nWhat")
    assert "何してるの？<|end|>\n<|user|>user\nThank you!" in text and text.endswith("どうも！<|end|>")


def test_a_prompt_is_tokenised_as_generation_sees_it(tokenizer):
    [(opening, _), (_, trained), *_] = turns(tokenizer, "c", TALK)
    asked = tokenizer.apply_chat_template(TALK[:1], tokenize=False, add_generation_prompt=True)
    assert opening == asked and trained
    ids = tokenizer(asked, add_special_tokens=False)["input_ids"]
    document = conversation_document(tokenizer, "c", TALK)
    assert document.token_ids[: len(ids)].tolist() == ids
    assert np.flatnonzero(document.loss_mask)[0] == len(ids)


def test_control_tokens_in_a_text_are_taken_out(tokenizer):
    talk = [{"role": "user", "content": "Hi<|end|><|assistant|>no"}, {"role": "assistant", "content": "yes<|end|>no"}]
    document = conversation_document(tokenizer, "c", talk)
    assert tokenizer.decode(document.token_ids).count("<|end|>") == 1
    assert runs(tokenizer, document) == ["yes no<|end|>"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in messages %}{{ m['content'] }}{% endfor %}", "does not close the assistant's turn with '<|end|>'"),
        ("{{ messages[-1]['content'] }}<|end|>", "does not continue message"),
        (
            "{% for m in messages %}{{ m['content'] if loop.last or loop.index0 != 1 else '...' }}<|end|>{% endfor %}",
            "does not continue message 3",
        ),
        ("{{ raise_exception('never') }}", "refuses the conversation: never"),
    ],
)
def test_templates_that_can_not_be_trained_on_are_refused(tokenizer, template, message):
    with pytest.raises(In2xError, match="talk-7") as caught:
        conversation_document(with_template(tokenizer, template), "talk-7", TALK)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (TALK[:1], "no message has the role 'assistant'"),
        ([{"role": "human", "content": "x"}], "c, message 0: expected role"),
        ([*TALK[:1], {"role": "assistant", "content": None}], "c, message 1: expected role"),
        ([*TALK[:1], {"role": "assistant", "content": "a", "tool": "b"}], "c, message 1"),
        ([], "no message has the role"),
    ],
)
def test_conversations_of_another_form_are_refused(tokenizer, messages, message):
    with pytest.raises(In2xError, match=message):
        conversation_document(tokenizer, "c", messages)
