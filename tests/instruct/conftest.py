"""A corpus of 600 training pairs: a group of two translations of one sentence for every two groups of one."""

import json

import numpy as np
import polars as pl
import pytest

NAMES = [
    ("Ken", "ケン"),
    ("Mary", "メアリー"),
    ("Bob", "ボブ"),
    ("Lucy", "ルーシー"),
    ("Fred", "フレッド"),
    ("Ann", "アン"),
]
PLACES = [("the station", "駅"), ("school", "学校"), ("the sea", "海"), ("the old park", "古い公園"), ("town", "町")]
TIMES = [("today", "今日"), ("yesterday", "昨日"), ("one rainy day", "雨の日"), ("at night", "夜"), ("in May", "五月")]
ENDINGS = ["行った。", "行きました。", "いらっしゃいました。"]


def corpus_rows() -> list[dict]:
    rows, group = [], 0
    for number in range(450):
        name, place, time = NAMES[number % 6], PLACES[number // 6 % 5], TIMES[number // 30 % 5]
        ending = ENDINGS[number % 7 % 3]
        source = f"{name[0]} went to {place[0]} {time[0]}, number {number}."
        targets = [f"{name[1]}は{time[1]}、{place[1]}の{number}番に{ending}"]
        if number % 3 == 0:
            targets.append(f"{time[1]}、彼、{name[1]}は{place[1]}の{number}番へと{ending}")
        for target in targets:
            rows.append({"id": f"made:{len(rows) + 1}", "group": group, "split": "train", "domain": "knowledge",
                         "origin": "made", "source": source, "target": target})  # fmt: skip
        group += 1
    held_out = {"id": "made:9000", "group": group, "split": "test", "domain": "knowledge", "origin": "made",
                "source": "Nobody may train on this.", "target": "これで訓練してはならない。"}  # fmt: skip
    return [*rows, held_out]


@pytest.fixture
def corpus(tmp_path):
    """Write a corpus folder, with the rows in the order of `seed` (None: as they are)."""

    def write(seed: int | None = None, rows: list[dict] | None = None):
        frame = pl.DataFrame(rows or corpus_rows())
        if seed is not None:
            frame = frame[np.random.default_rng(seed).permutation(len(frame))]
        folder = tmp_path / f"corpus-{seed}"
        folder.mkdir(exist_ok=True)
        frame.write_parquet(folder / "pairs.parquet")
        (folder / "manifest.json").write_text(json.dumps({"section": {"pair": "en-ja"}}))
        return folder

    return write
