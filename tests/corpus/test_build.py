import hashlib
import json

import numpy as np
import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.corpus import build
from in2x.corpus.groups import highest_similarity
from in2x.corpus.normalize import normal_key
from in2x.sections import CorpusSection, Source

LETTERS = list("abcdefghijklmnopqrstuvwxyz")
KANA = list("あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわん")


def sentence(rng, letters, length=30):
    return "".join(rng.choice(letters, length))


def corpus(num_sentences=60, seed=0, prefix="s"):
    """Sentences without likeness to one another; every third has two variants more, one on each side."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(num_sentences):
        source, target = sentence(rng, LETTERS), sentence(rng, KANA)
        rows.append((f"{prefix}{number}", source, target))
        if number % 3 == 0:
            rows.append((f"{prefix}{number}/source", source[:-1], sentence(rng, KANA)))
            rows.append((f"{prefix}{number}/target", sentence(rng, LETTERS), target[:-1]))
    return pl.DataFrame(rows, schema=["id", "source", "target"], orient="row")


SECTION = CorpusSection(num_dev=5, num_test=10)


@pytest.fixture(scope="module")
def whole():
    return build.split_by_group(corpus(), SECTION)


def ids(frame, *splits):
    return set(frame.filter(pl.col("split").is_in(splits))["id"])


def test_so_many_groups_are_held_out_whole(whole):
    frame, _ = whole
    assert len(ids(frame, "test")) == 10 and len(ids(frame, "dev")) == 5
    held_out = frame.filter(pl.col("split").is_in(["dev", "test"]))
    assert held_out["group"].n_unique() == 15  # one sentence of each
    groups = set(held_out["group"])
    others = frame.filter(pl.col("group").is_in(groups) & ~pl.col("id").is_in(ids(frame, "dev", "test")))
    assert len(others) > 0 and set(others["split"]) == {"aside"}
    assert not groups & set(frame.filter(split="train")["group"])
    assert ids(frame, "train") | ids(frame, "aside") | ids(frame, "dev", "test") == set(frame["id"])


def test_variants_share_a_group(whole):
    frame = whole[0].with_columns(base=pl.col("id").str.split("/").list.first())
    assert frame.group_by("base").agg(pl.col("group").n_unique())["group"].to_list() == [1] * 60
    assert frame["group"].n_unique() == 60


def test_the_highest_similarity_is_that_of_held_out_to_training_sentences(whole):
    frame, similarity = whole
    keys = frame.with_columns(normal_key(pl.col(side)) for side in ("source", "target"))
    train, held_out = keys.filter(split="train"), keys.filter(pl.col("split").is_in(["dev", "test"]))
    for language, side, size in (("en", "source", 4), ("ja", "target", 3)):
        highest = highest_similarity(held_out[side].to_list(), train[side].to_list(), size).max()
        assert similarity[language] == round(highest, 3) < 0.6


def test_the_order_of_the_rows_does_not_matter(whole):
    shuffled, similarity = build.split_by_group(corpus().sample(fraction=1.0, shuffle=True, seed=3), SECTION)
    for split in ("test", "dev", "aside", "train"):
        assert ids(shuffled, split) == ids(whole[0], split)
    assert build.test_digest(shuffled) == build.test_digest(whole[0])
    assert similarity == whole[1]


def test_more_rows_bring_nothing_that_was_trained_on_into_the_held_out_sentences(whole):
    more, _ = build.split_by_group(pl.concat([corpus(), corpus(40, seed=9, prefix="more")]), SECTION)
    before = ids(whole[0], "dev", "test")
    after = {id for id in ids(more, "dev", "test") if not id.startswith("more")}
    assert after < before and len(after) > 5


def test_large_groups_are_for_training():
    frame, _ = build.split_by_group(corpus(), CorpusSection(num_dev=5, num_test=10, max_held_out_group=2))
    sizes = frame.filter(pl.len().over("group") > 2)
    assert len(sizes) == 60 and set(sizes["split"]) == {"train"}


def test_twins_that_the_estimate_missed_are_set_aside(monkeypatch):
    rows = corpus(40)
    monkeypatch.setattr(build, "near_duplicate_groups", lambda sides, *_: np.arange(len(sides[0])))  # finds nothing
    frame, similarity = build.split_by_group(rows, SECTION)
    aside = frame.filter(split="aside")
    assert len(aside) > 3 and aside["id"].str.contains("/").any()
    assert max(similarity.values()) < 0.6
    held_out = {id.split("/")[0] for id in ids(frame, "dev", "test")}
    assert {id.split("/")[0] for id in aside["id"]} <= held_out
    kept = frame.with_columns(base=pl.col("id").str.split("/").list.first()).filter(split="train")
    like = {"source": "/target", "target": "/source"}  # of a base row: the variant that does not share the side
    for base in held_out:
        siblings = set(kept.filter(base=base)["id"])
        assert siblings <= {base + end for end in like.values()}


def test_too_few_groups_are_refused():
    with pytest.raises(In2xError, match="60 groups of sentences can't give 31 held-out ones.*corpus.num_dev"):
        build.split_by_group(corpus(), CorpusSection(num_dev=1, num_test=30))


def test_the_digest_is_of_the_sorted_held_out_ids():
    frame = pl.DataFrame({"id": ["b", "a", "c"], "split": ["test", "dev", "train"]})
    assert build.test_digest(frame) == hashlib.sha256(b"a\nb").hexdigest()


# --- the stage --------------------------------------------------------------------------------------------

ENGLISH = ["I", "you", "they", "she", "saw", "ate", "found", "liked", "sold", "the", "one", "that", "my", "your", "red",
           "blue", "old", "big", "cat", "dog", "house", "book", "song", "tree", "river", "train", "today", "here",
           "again", "once"]  # fmt: skip
JAPANESE = ["私", "君", "彼女", "友達", "先生", "は", "が", "を", "に", "で", "犬", "猫", "家", "本", "歌", "木",
            "川", "電車", "昨日", "今日", "ここ", "また", "一度", "見た", "食べた", "見つけた", "失った", "好き", "だ",
            "売った"]  # fmt: skip


@pytest.fixture
def sources(tmp_path):
    rng = np.random.default_rng(1)
    rows = [(" ".join(rng.choice(ENGLISH, 9)) + ".", "".join(rng.choice(JAPANESE, 9)) + "。") for _ in range(80)]
    rows += [(one.replace(".", " twice."), "".join(rng.choice(JAPANESE, 9)) + "。") for one, _ in rows]  # variants
    lines = ["en\tja", *("\t".join(row) for row in rows), "no tab here", "\t".join(rows[0]).upper(), "Only.\tOnly."]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "news.txt").write_text("今日は晴れです。\n明日は雨です。\n", encoding="utf-8")
    return (
        Source(name="own", kind="tsv", path=tmp_path / "pairs.tsv", columns=("en", "ja"), licence="CC0"),
        Source(name="news", kind="text", path=tmp_path / "news.txt", language="ja"),
    )


def test_stage_writes_pairs_texts_and_every_rejected_row(sources, tmp_path):
    folder = tmp_path / "corpus"
    results = build.run(CorpusSection(sources=sources, num_dev=4, num_test=6), folder, {})
    pairs, texts, rejected = (pl.read_parquet(folder / f"{name}.parquet") for name in ("pairs", "text", "rejected"))
    assert pairs.columns == list(build.PAIRS) and rejected.columns == list(build.REJECTED)
    assert results["num_read"] == {"own": 162, "own (broken)": 1, "news": 2}
    assert len(pairs) + len(rejected) == 163
    reasons = results["num_rejected"]
    assert reasons["repeated"] == 1 and sum(reasons.values()) == len(rejected)
    assert reasons["variant of a held-out sentence"] == 10
    assert rejected.filter(pl.col("reason").str.starts_with("broken"))["source"].to_list() == ["no tab here"]
    assert results["num_pairs"] == dict(pairs["split"].value_counts().iter_rows())
    assert (results["num_pairs"]["test"], results["num_pairs"]["dev"]) == (6, 4)
    assert texts["text"].to_list() == ["今日は晴れです。", "明日は雨です。"] and set(texts["origin"]) == {"news"}
    assert results["num_text_documents"] == {"ja": 2}
    assert results["licences"] == {"own": "CC0", "news": "unknown"}
    assert results["test_digest"] == build.test_digest(pairs)
    json.dumps(results)  # for the manifest


def test_texts_of_several_sources_stand_in_one_file_in_their_order(sources, tmp_path):
    pl.DataFrame({"text": ["It rains.", "It snows."]}).write_parquet(tmp_path / "more.parquet")
    more = Source(name="more", kind="text", path=tmp_path / "more.parquet", language="en")
    results = build.run(CorpusSection(sources=(*sources, more), num_dev=4, num_test=6), tmp_path / "corpus", {})
    texts = pl.read_parquet(tmp_path / "corpus" / "text.parquet")
    assert texts.columns == ["id", "language", "text", "origin"]
    assert texts["id"].to_list() == ["news:1", "news:2", "more:1", "more:2"]
    assert results["num_text_documents"] == {"ja": 2, "en": 2}


def test_stage_without_pairs_says_so(sources, tmp_path):
    with pytest.raises(In2xError, match="no translation pairs were read"):
        build.run(CorpusSection(sources=sources[1:]), tmp_path / "corpus", {})


def test_where_every_row_was_rejected_the_reasons_can_be_read(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("en\tja\nSame text.\tSame text.\n", encoding="utf-8")
    source = Source(name="own", kind="tsv", path=path, columns=("en", "ja"))
    with pytest.raises(In2xError, match="every row was rejected: .*rejected.parquet"):
        build.run(CorpusSection(sources=(source,)), tmp_path / "corpus", {})
    assert len(pl.read_parquet(tmp_path / "corpus/rejected.parquet")) == 1
