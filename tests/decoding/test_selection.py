"""The choice among samples as a recipe says it: each setting reaches what it names."""

from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from in2x.artifacts import In2xError
from in2x.decoding import selection
from in2x.decoding.approximate import select_aggregated, select_coarse_to_fine
from in2x.decoding.mbr import select
from in2x.decoding.selection import choose_all
from in2x.decoding.utilities import make_utility
from in2x.evaluation.plugins import host
from in2x.sections import TranslateSection

CANDIDATES = [
    ["猫がいる。", "犬がいる。", "猫がいます。", "猫がいる。"],
    ["雨が降っている。", "雨だ。", "雨が降る。", "雪が降っている。"],
    ["はい。", "いいえ。", "いいえ。", "いいえ、違います。"],
]
SOURCES = ["There is a cat.", "It is raining.", "No."]
PLUGIN = {"utility": "plugin", "plugin": "comet", "plugin_python": "/venv/python", "plugin_model": "hub/wmt22"}


def chosen(pseudo=None, **settings):
    return choose_all(TranslateSection(**settings), CANDIDATES, pseudo, SOURCES, "ja")


@pytest.mark.parametrize("utility", ["chrf", "chrf++", "bleu", "exact"])
def test_every_utility_is_the_one_of_its_name(utility):
    expected = [select(texts, make_utility(utility, beta=1.0, target_language="ja")).index for texts in CANDIDATES]
    assert chosen(utility=utility) == expected


def test_by_default_it_is_exact_chrf_that_weighs_precision_as_recall():
    assert TranslateSection().utility == "chrf" and chosen() == chosen(utility="chrf", chrf_beta=1.0)
    assert chosen(utility="exact") == [0, 0, 1]


def test_approximations_are_the_ones_of_their_names():
    assert chosen(approximation="aggregate") == [select_aggregated(texts, beta=1.0).index for texts in CANDIDATES]
    bleu = make_utility("bleu", target_language="ja")
    expected = [select_coarse_to_fine(texts, bleu, keep=2, beta=1.0).index for texts in CANDIDATES]
    assert chosen(utility="bleu", approximation="coarse-to-fine", keep=2) == expected
    # with less than 8 pseudo-references nothing is pruned
    assert chosen(utility="bleu", approximation="pruned") == chosen(utility="bleu")


@pytest.mark.parametrize("settings", [{}, {"approximation": "aggregate"}, {"approximation": "coarse-to-fine"},
                                      {"approximation": "pruned"}, {"utility": "bleu"}])  # fmt: skip
def test_pseudo_references_may_come_from_elsewhere(settings):
    pseudo = [["犬がいる。"], ["雪が降っている。", "雪が降っている"], ["はい。"]]
    assert chosen(pseudo, **settings) == [1, 3, 0]


def test_a_plugin_is_asked_once_with_the_sources(monkeypatch):
    asked = []

    def score_rows(metric, rows, *, python, model):
        asked.append((metric, str(python), model, list(rows)))
        return SimpleNamespace(values=[float(len(row.hypothesis)) for row in rows])

    monkeypatch.setattr(host, "score_rows", score_rows)
    assert chosen(**PLUGIN) == [2, 0, 3]
    ((metric, python, model, rows),) = asked
    assert (metric, python, model) == ("comet", "/venv/python", "hub/wmt22")
    assert host.Row("No.", "はい。", "いいえ。") in rows and len(rows) == 3 * 3 + 4 * 4 + 3 * 3
    assert selection.selector_metrics(TranslateSection(**PLUGIN).model_dump(mode="json")) == ("comet-wmt22",)


def test_a_plugin_that_fails_for_a_row_is_no_utility(monkeypatch):
    monkeypatch.setattr(host, "score_rows", lambda *_, **__: SimpleNamespace(values=[None] * 34))
    with pytest.raises(In2xError, match="no score of 34 of 34 rows"):
        chosen(**PLUGIN)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"utility": "plugin", "plugin": "comet"}, "needs plugin, plugin_python and plugin_model"),
        ({"plugin": "comet"}, "only utility 'plugin' reads it"),
        ({"utility": "bleu", "approximation": "aggregate"}, "is for utilities chrf and chrf\\+\\+, not for 'bleu'"),
        (PLUGIN | {"approximation": "pruned"}, "would start the plugin many times"),
        ({"utility": "comet"}, "Input should be 'chrf', 'chrf\\+\\+', 'bleu', 'exact' or 'plugin'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        TranslateSection(**settings)


# --- translated back ----------------------------------------------------------------------------------------------


def reconstructing(scores, **settings):
    """The choices, and the pairs that were translated back; `scores` by hypothesis, the others are less likely."""
    asked = []

    def reconstruct(pairs):
        asked.extend(pairs)
        return np.array([scores.get(hypothesis, -9.0) for _, hypothesis in pairs])

    section = TranslateSection(**{"reconstruction_weight": 20.0} | settings)
    return choose_all(section, CANDIDATES, None, SOURCES, "ja", reconstruct), asked


def test_what_gives_its_source_back_wins_by_the_weight():
    scores = {"犬がいる。": -1.0, "雪が降っている。": -1.0, "いいえ、違います。": -1.0}
    assert reconstructing(scores)[0] == [1, 3, 3]
    assert reconstructing(scores, reconstruction_weight=1e-6)[0] == chosen()
    assert reconstructing({})[0] == chosen()  # the same for all: the expected utility decides


def test_only_the_leading_distinct_candidates_are_translated_back():
    best = {"はい。": -1.0}  # 37.3 points, after 62.3 and 42.9
    choices, asked = reconstructing(best, reconstruction_keep=2)
    assert choices == chosen()
    assert [hypothesis for source, hypothesis in asked if source == "No."] == ["いいえ。", "いいえ、違います。"]
    assert reconstructing(best, reconstruction_keep=3)[0] == [*chosen()[:2], 0]


def test_candidates_that_an_approximation_left_out_stay_out():
    settings = {"approximation": "coarse-to-fine", "keep": 1}
    choices, asked = reconstructing({"雪が降っている。": -1.0}, **settings)
    assert choices == chosen(**settings) and len(asked) == len(SOURCES)
