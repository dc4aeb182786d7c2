import math

import numpy as np
import polars as pl
import pytest
import torch

from in2x.evaluation import metrics, retention
from in2x.evaluation.chrf import sentence_chrf
from in2x.evaluation.perplexity import TokenLosses, mean_nats, token_losses
from in2x.evaluation.retention import HeldOut, Sizes, by_position, measure, perplexities, translation_measures
from in2x.model.loading import end_of_text_id
from in2x.sections.pretrain import Measures
from in2x.training.packing import Document
from in2x.training.streams import tokenize

SIZES = Sizes(24, 48, 64)


@pytest.fixture
def held_out(tokenizer):
    rows = [(f"p{n}", n, "ab"[n % 2], "web", f"I live in {n}.", f"{n}に住んでいます。") for n in range(12)]
    pairs = pl.DataFrame(rows, schema=["id", "group", "domain", "origin", "source", "target"], orient="row")
    texts = {"en": pairs["source"], "ja": pairs["target"], "documents": pairs["source"] + "\n" + pairs["target"]}
    end_id = end_of_text_id(tokenizer)
    streams = {
        name: tokenize(pl.DataFrame({"id": pairs["id"], "text": own}), tokenizer, end_id) for name, own in texts.items()
    }
    domains = {name: pairs["domain"].to_list() for name in texts}
    qualities = {name: [n / 10 for n in range(12)] for name in texts}
    return HeldOut(streams, domains, qualities, pairs, "en-ja")


def test_token_losses_are_those_of_the_mean_and_know_their_place(make_model):
    model, rng = make_model(), np.random.default_rng(0)
    mask = np.array([True, False, True, True, True, True, True])
    documents = [
        Document("x", rng.integers(5, 60, 7), mask),
        Document("y", rng.integers(5, 60, 3), np.ones(3, bool)),
        Document("long", rng.integers(5, 60, 14), np.ones(14, bool)),
    ]
    found = token_losses(model, documents, 10, 20, 0)
    assert found.nats_N.mean() == pytest.approx(mean_nats(model, documents, 10, 20, 0), rel=1e-6)
    places = sorted(zip(found.document_N.tolist(), found.position_N.tolist(), strict=True))
    first, second = [(2, n) for n in range(1, 10)], [(2, n) for n in range(1, 4)]  # the long one is cut at 10
    assert places == sorted([(0, n) for n in (2, 3, 4, 5, 6)] + [(1, 1), (1, 2)] + first + second)
    assert found.perplexity(found.document_N == 9) is None


def test_perplexity_by_position_by_hand():
    losses = TokenLosses(np.log([2.0, 8.0, 3.0, 5.0]), np.zeros(4, int), np.array([1, 15, 16, 70]))
    assert by_position(losses) == {"1-15": pytest.approx(4), "16-31": pytest.approx(3), "64-127": pytest.approx(5)}


def test_domains_and_quality_are_parts_of_the_whole(make_model, held_out):
    found = perplexities(make_model(), held_out, Measures(), SIZES)
    assert set(found["perplexity"]) == {"en", "ja"} and set(found["quality"]) == {"en", "ja"}
    assert set(found["by_domain"]) == {"en:a", "en:b", "ja:a", "ja:b"}
    parts = [math.log(found["by_domain"][f"en:{domain}"]) for domain in "ab"]
    lengths = [sum(len(held_out.streams["en"].token_ids[n]) - 1 for n in range(k, 12, 2)) for k in (0, 1)]
    mean = sum(part * length for part, length in zip(parts, lengths, strict=True)) / sum(lengths)
    assert math.exp(mean) == pytest.approx(found["perplexity"]["en"], rel=1e-6)
    documents = [held_out.streams["ja"].document(n) for n in range(6, 12)]  # the upper half by quality
    assert math.log(found["quality"]["ja"]) == pytest.approx(mean_nats(make_model(), documents, 24, 64, 0), rel=1e-5)
    assert set(perplexities(make_model(), held_out, Measures(by_domain=False), SIZES)) == {"perplexity"}


def test_few_shot_and_round_trip_ask_for_what_they_say(monkeypatch, held_out):
    asked = []

    def translations(model, tokenizer, texts, examples, most):
        asked.append((list(texts), list(examples), most))
        return [f"<{text}>" for text in texts]

    monkeypatch.setattr(retention, "few_shot_translations", translations)
    settings = Measures(few_shot_examples=(2, 0), few_shot_segments=3, round_trip_segments=2, max_completion_tokens=9)
    found = translation_measures(None, None, held_out, settings)
    en, ja = held_out.pairs["source"].to_list(), held_out.pairs["target"].to_list()
    forward = list(zip(en[:2], ja[:2], strict=True))
    backward = [(b, a) for a, b in forward]
    assert asked[0] == (en[2:5], forward, 9)
    assert asked[1] == ([f"<{text}>" for text in en[2:4]], backward, 9)  # there and back
    assert asked[2] == (ja[2:5], backward, 9)
    assert asked[3] == ([f"<{text}>" for text in ja[2:4]], forward, 9)
    assert asked[4] == (en[2:5], [], 9)  # the same segments, whatever the number of examples
    assert asked[5] == (ja[2:5], [], 9)
    assert len(asked) == 6
    assert set(found["few_shot"]) == {f"{way}, {n} examples" for way in ("en-ja", "ja-en") for n in (0, 2)}
    assert set(found["round_trip"]) == {"en-ja-en", "ja-en-ja"}
    assert found["round_trip"]["en-ja-en"] > 60 > found["few_shot"]["en-ja, 0 examples"]
    assert translation_measures(None, None, held_out, Measures(few_shot_segments=0)) == {}


def test_the_prompt_is_a_document_and_the_answer_its_next_line(monkeypatch, tokenizer):
    seen = []

    def complete(model, tokenizer, prompt_ids, *, stop_ids, max_completion_tokens):
        seen.extend(tokenizer.decode(ids) for ids in prompt_ids)
        return [[type("C", (), {"text": "ok"})] for _ in prompt_ids]

    monkeypatch.setattr(retention, "generate", complete)
    found = retention.few_shot_translations(None, tokenizer, ["Thank\nyou!"], [("I live.", "住む。")], 5)
    assert found == ["ok"] and seen == ["I live.\n住む。\nThank you!\n"]


def test_corpus_chrf_is_that_of_the_segment_where_there_is_one():
    assert metrics.chrf_value(["a cat sat"], ["the cat sat"]) == pytest.approx(
        sentence_chrf("a cat sat", "the cat sat")
    )


def test_measuring_leaves_the_model_its_mode_and_the_random_state_as_they_are(
    make_model, tokenizer, held_out, monkeypatch
):
    model = make_model().train()
    plain = retention.retrieval_measure

    def careless(*arguments):
        torch.rand(3)
        return plain(*arguments)

    monkeypatch.setattr(retention, "retrieval_measure", careless)
    torch.manual_seed(5)
    state, weights = torch.get_rng_state(), {name: x.clone() for name, x in model.state_dict().items()}
    settings = Measures(few_shot_examples=(0, 1), few_shot_segments=2, round_trip_segments=2, max_completion_tokens=4)
    first, second = (measure(model, tokenizer, held_out, settings, SIZES) for _ in range(2))
    assert first == second
    assert set(first) == {
        "perplexity", "by_domain", "quality", "by_position", "few_shot", "round_trip", "retrieval"
    }  # fmt: skip
    assert len(first["retrieval"]["en-ja"]) == 3 and first["retrieval"]["num_segments"] == 12
    assert model.training and torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(x, weights[name]) for name, x in model.state_dict().items())
