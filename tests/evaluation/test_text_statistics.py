"""Statistics of texts: the same from the cache, and never another text's."""

import numpy as np
import pytest

from in2x.evaluation import text_statistics as module
from in2x.evaluation.text_statistics import METRICS, text_statistics

HYPOTHESES = ["彼は学校へ行く。", "神戸が好きだ。", ""]
REFERENCES = [["彼は毎日学校へ行きます。"], ["神戸に住んでいます。"], ["何をしているのですか。"]]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("references", [REFERENCES, [[*texts, "雨だ。"] for texts in REFERENCES]])
def test_what_is_read_back_is_what_was_counted(metric, references, tmp_path, monkeypatch):
    counted = text_statistics(metric, HYPOTHESES, references, "ja", tmp_path)
    monkeypatch.setattr(module, "_counted", None)  # to call it would fail
    found = text_statistics(metric, HYPOTHESES, references, "ja", tmp_path)
    np.testing.assert_array_equal(found.counts_NK, counted.counts_NK)
    assert (found.signature, found.reference_columns) == (counted.signature, counted.reference_columns)
    assert found.value == counted.value and found.metric == metric


def test_another_text_language_or_metric_is_counted_anew(tmp_path):
    base = text_statistics("chrF2", HYPOTHESES, REFERENCES, "ja", tmp_path)
    changed = text_statistics("chrF2", ["彼は学校へ行く！", *HYPOTHESES[1:]], REFERENCES, "ja", tmp_path)
    assert base.value != changed.value
    text_statistics("chrF2", HYPOTHESES, [["雨。"], *REFERENCES[1:]], "ja", tmp_path)
    text_statistics("chrF2", HYPOTHESES, REFERENCES, "zh", tmp_path)
    text_statistics("TER", HYPOTHESES, REFERENCES, "ja", tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


def test_a_broken_file_is_counted_anew(tmp_path):
    counted = text_statistics("BLEU", HYPOTHESES, REFERENCES, "ja", tmp_path)
    (path,) = tmp_path.iterdir()
    for content in (b"", b"no zip", path.read_bytes()[:100]):
        path.write_bytes(content)
        np.testing.assert_array_equal(
            text_statistics("BLEU", HYPOTHESES, REFERENCES, "ja", tmp_path).counts_NK, counted.counts_NK
        )
