"""Morphemes of Japanese text by MeCab with the IPA dictionary, loaded when first asked for.

One tagger serves the process, behind a lock: MeCab's own objects are not safe to share between threads.
`mecab-python3` and `ipadic` come with `sacrebleu[ja]`.
"""

from __future__ import annotations

import re
import threading
from functools import cache, lru_cache
from typing import NamedTuple

from in2x.artifacts import In2xError

LOCK = threading.Lock()
NUM_FEATURES = 8  # part of speech in four levels, conjugation type, conjugation form, lemma, reading
UNREADABLE = re.compile("[\0\n\r\ud800-\udfff]")  # MeCab stops at the first three and cannot be given the others


class Morpheme(NamedTuple):
    """One morpheme with its place in the text.

    Example: "行っ" in "本へ行った" is
    Morpheme("行っ", "動詞", "自立", "*", "五段・カ行促音便", "連用タ接続", "行く", 2, 4, True, "イッ")
    """

    surface: str
    pos: str  # 動詞, 名詞, 助詞 ...
    subpos: str  # 自立, 代名詞, 終助詞 ...
    kind: str  # third level: 人名, 地域 ...
    conjugation: str  # type: 一段, 特殊・マス ...
    form: str  # 基本形, 連用形 ...
    lemma: str
    start: int
    end: int
    known: bool  # listed in the dictionary
    reading: str = ""  # in katakana; empty where the dictionary has none


@lru_cache(maxsize=1 << 14)
def morphemes(text: str) -> tuple[Morpheme, ...]:
    """Cut one line of text into morphemes; offsets count characters, white space belongs to none.

    Raises:
        In2xError: MeCab or its dictionary is not installed.
    """
    readable = UNREADABLE.sub(" ", text)
    found, position = [], 0
    for line in _parse(readable):
        surface, _, features = line.partition("\t")
        start = readable.index(surface, position)
        position = start + len(surface)
        fields = (features.split(",") + ["*"] * NUM_FEATURES)[:NUM_FEATURES]
        pos, subpos, kind, _, conjugation, form, lemma, reading = fields
        known = lemma != "*"
        lemma, reading = lemma if known else surface, "" if reading == "*" else reading
        found.append(Morpheme(surface, pos, subpos, kind, conjugation, form, lemma, start, position, known, reading))
    return tuple(found)


def _parse(text: str) -> list[str]:
    with LOCK:
        return _tagger().parse(text).split("\n")[:-2]


@cache
def _tagger():
    try:
        import ipadic
        import MeCab
    except ImportError as error:
        message = f"the Japanese checks need MeCab and its dictionary ({error}): pip install 'sacrebleu[ja]'"
        raise In2xError(message) from error
    return MeCab.Tagger(ipadic.MECAB_ARGS)
