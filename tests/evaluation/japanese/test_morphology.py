import sys
import threading

import pytest

from in2x.artifacts import In2xError
from in2x.evaluation.japanese import morphology
from in2x.evaluation.japanese.morphology import morphemes


def test_verb_with_its_form_and_lemma():
    went = morphemes("本へ行った")[2]
    assert (went.surface, went.pos, went.subpos, went.form, went.lemma) == (
        "行っ",
        "動詞",
        "自立",
        "連用タ接続",
        "行く",
    )
    assert (went.start, went.end, went.known) == (2, 4, True)


@pytest.mark.parametrize(
    "text", ["本 へ　行った\t。", "一行目\n二行目\r三行目", "空\0白", "絵文字😀と𠮷野家", "壊れた\ud83d字", "a,b", ""]
)
def test_offsets_point_at_the_surfaces(text):
    found = morphemes(text)
    assert all(m.surface == text[m.start : m.end] for m in found)
    assert all(first.end <= second.start for first, second in zip(found, found[1:], strict=False))


def test_nothing_is_lost_after_a_line_end_or_a_null():
    assert [m.surface for m in morphemes("雨\n雪\0風")] == ["雨", "雪", "風"]


def test_unlisted_words_are_their_own_lemma():
    (word,) = morphemes("ズンドコリアス")
    assert word.lemma == word.surface and not word.known


def test_threads_share_the_tagger_without_mixing_texts():
    texts = [f"{number}人が駅まで歩いた" for number in range(200)]
    expected = [[m.surface for m in morphemes.__wrapped__(text)] for text in texts]
    results = [None] * len(texts)

    def work(first):
        for number in range(first, len(texts), 4):
            results[number] = [m.surface for m in morphemes.__wrapped__(texts[number])]

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == expected
    assert morphology._tagger() is morphology._tagger()


def test_a_missing_dictionary_names_the_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipadic", None)
    morphology._tagger.cache_clear()
    try:
        with pytest.raises(In2xError, match=r"pip install 'sacrebleu\[ja\]'"):
            morphemes.__wrapped__("雨")
    finally:
        monkeypatch.undo()
        morphology._tagger.cache_clear()
    assert morphemes("雨")[0].surface == "雨"
