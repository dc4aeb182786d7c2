"""A cipher language: English sentences of a small grammar, and their words in kana, verb last, with particles."""

import itertools
import random
from pathlib import Path

SUBJECTS = {"The dog": "いぬ", "The cat": "ねこ", "My father": "ちち", "The teacher": "せんせい", "A bird": "とり",
            "The child": "こども", "My friend": "ともだち", "The king": "おう"}  # fmt: skip
VERBS = {"sees": "みる", "buys": "かう", "eats": "たべる", "takes": "とる", "sells": "うる", "loves": "あいする"}
OBJECTS = {"the book": "ほん", "the apple": "りんご", "the river": "かわ", "the flower": "はな", "the mountain": "やま",
           "the fish": "さかな", "the letter": "てがみ", "the house": "いえ"}  # fmt: skip
TIMES = {"today": "きょう", "tomorrow": "あした", "every day": "まいにち", "at night": "よる"}


def write(path: Path) -> None:
    """1,536 pairs as TSV with the columns en and ja, in random order."""
    rows = [
        (f"{s} {v} {o} {t}.", f"{TIMES[t]}、{SUBJECTS[s]}は{OBJECTS[o]}を{VERBS[v]}。")
        for s, v, o, t in itertools.product(SUBJECTS, VERBS, OBJECTS, TIMES)
    ]
    random.Random(0).shuffle(rows)
    path.write_text("en\tja\n" + "".join(f"{en}\t{ja}\n" for en, ja in rows), encoding="utf-8")
