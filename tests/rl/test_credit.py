"""Credit by token in a batch: whose it is, where it lands, and what is logged of it."""

import numpy as np
import pytest

from in2x.records import Completion
from in2x.rewards.groups import Group, Span
from in2x.rl.credit import credit, credit_measures
from in2x.rl.draw import Drawn, Scored


@pytest.fixture
def drawn(tokenizer):
    """Two groups of two; the second teaches nothing. The completions' first token writes a blank."""
    texts = [["神戸dog、鬱。", "何してるの？"], ["どうも！", "神戸"]]
    blank = tokenizer.encode(" ", add_special_tokens=False)
    groups = [
        Group(str(p), [1], "dog", "犬", "ja", [
            Completion(ids := [*blank, *tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id],
                       [-1.0] * len(ids), text, True)
            for text in row
        ])
        for p, row in enumerate(texts)
    ]  # fmt: skip
    spans = {(0, 0): [Span(2, 5, 1.0, "dog")], (1, 1): [Span(0, 2, 1.0, "")]}
    scored = Scored(np.zeros((2, 2)), {}, [[None] * 2] * 2, [None, None], np.zeros((2, 2), bool), spans)
    return Drawn(groups, scored, np.ones((2, 2), bool), np.array([True, False]), np.ones(2), 0)


def where(drawn, tokenizer, word):
    """Tokens of the first completion that write a part of the word, one by one."""
    ids = drawn.groups[0].completions[0].token_ids
    pieces = [tokenizer.decode(ids[place : place + 1], skip_special_tokens=True) for place in range(len(ids))]
    return [bool(set(piece) & set(word)) for piece in pieces]


def test_blame_lands_on_the_tokens_of_the_span_in_completions_that_take_part(drawn, tokenizer):
    found = credit(drawn, np.array([[-2.0, 2.0], [0.0, 0.0]]), tokenizer, 1.0)
    assert found.keys() == {(0, 0)}
    (weights,) = found.values()
    in_span = np.array(where(drawn, tokenizer, "dog"))
    assert in_span.any() and (weights[~in_span] == 0).all()
    assert weights[in_span] == pytest.approx(len(weights) / in_span.sum())


def test_praise_passes_the_span_by(drawn, tokenizer):
    (weights,) = credit(drawn, np.array([[2.0, -2.0], [0.0, 0.0]]), tokenizer, 1.0).values()
    in_span = np.array(where(drawn, tokenizer, "dog"))
    assert (weights[in_span] == 0).all() and weights[~in_span] == pytest.approx(len(weights) / (~in_span).sum())


def test_what_is_logged_of_it(drawn, tokenizer):
    found = credit(drawn, np.array([[-2.0, 2.0], [0.0, 0.0]]), tokenizer, 1.0)
    in_span = np.array(where(drawn, tokenizer, "dog"))
    measured = credit_measures(drawn, found)
    assert measured == {"span_fraction": 0.5, "credit_moved": pytest.approx(1 - in_span.mean())}
    assert credit_measures(drawn, {}) == {"span_fraction": 0.5}
