"""The evaluate stage on hypotheses made by hand."""

import polars as pl
import pytest

from in2x.artifacts import read_json, write_json
from in2x.evaluation.by_difficulty import EASY, segment_classes
from in2x.evaluation.evaluate import role, run
from in2x.evaluation.metrics import chrf_value
from in2x.sections import DIFFICULTIES, EvaluateSection

REFERENCES = ["彼は毎日学校へ行きます。", "神戸に住んでいます。", "何をしているのですか。", "ありがとうございました。"]
SYSTEMS = {
    ("sft", "greedy"): ["彼は学校へ行く。", "神戸が好きだ。", "何をする。", "ありがとう。"],
    ("rl", "greedy"): ["彼は毎日学校へ行く。", "神戸に住んでいる。", "何をしているの。", "ありがとうございます。"],
    ("merge", "mbr"): REFERENCES,
}


@pytest.fixture
def evaluated(tmp_path):
    rows = [
        (*system, f"s{number}", "source " + "x" * (9 - number), reference, hypothesis, 5, True)
        for system, hypotheses in SYSTEMS.items()
        for number, (reference, hypothesis) in enumerate(zip(REFERENCES, hypotheses, strict=True))
    ]
    columns = ["system", "decoding", "segment_id", "source", "reference", "hypothesis", "num_tokens", "finished"]
    (tmp_path / "translate").mkdir()
    pl.DataFrame(rows, schema=columns, orient="row").write_parquet(tmp_path / "translate" / "hypotheses.parquet")
    write_json(tmp_path / "translate" / "manifest.json", {"results": {"target_language": "ja"}})
    write_json(tmp_path / "corpus" / "manifest.json", {"section": {"pair": "en-ja"}})
    train = [("train", "a long " * n + "sentence with rarities" + "y" * n) for n in range(1, 40)]
    pl.DataFrame(train, schema=["split", "source"], orient="row").write_parquet(tmp_path / "corpus" / "pairs.parquet")
    inputs = {name: tmp_path / name for name in ("corpus", "translate")}
    run(EvaluateSection(num_resamples=200, num_samples=3), tmp_path / "evaluate", inputs)
    return tmp_path / "evaluate"


def test_better_output_scores_higher_within_its_interval(evaluated):
    scores = {(row["system"], row["metric"]): row for row in read_json(evaluated / "scores.json")}
    assert scores["sft", "chrF2"]["value"] < scores["rl", "chrF2"]["value"] < scores["merge", "chrF2"]["value"] == 100
    assert scores["merge", "BLEU"]["value"] == pytest.approx(100)
    assert all(row["low"] <= row["value"] <= row["high"] and row["num_segments"] == 4 for row in scores.values())
    assert "ja-mecab" in scores["sft", "BLEU"]["signature"]


def test_each_system_is_compared_with_the_one_before(evaluated):
    comparisons = [row for row in read_json(evaluated / "comparisons.json") if row["metric"] == "chrF2"]
    assert [(row["system_a"], row["system_b"]) for row in comparisons] == [("rl", "sft"), ("merge", "rl")]
    assert all(row["delta"] > 0 for row in comparisons)


def test_samples_show_the_same_segments_of_every_system_from_short_to_long(evaluated):
    samples = read_json(evaluated / "samples.json")
    assert len(samples) == 3
    assert all(set(sample["hypotheses"]) == {"sft/greedy", "rl/greedy", "merge/mbr"} for sample in samples)
    lengths = [len(sample["source"]) for sample in samples]
    assert lengths == sorted(lengths)


def test_scores_by_difficulty_are_those_of_the_segments_of_each_class(evaluated):
    rows = [row for row in read_json(evaluated / "by_difficulty.json") if row["metric"] == "chrF2"]
    assert {row["difficulty"] for row in rows} <= set(DIFFICULTIES)
    assert sum(row["num_segments"] for row in rows if row["system"] == "rl") == 4
    classes = segment_classes(pl.read_parquet(evaluated.parent / "translate/hypotheses.parquet"),
                              evaluated.parent / "corpus")  # fmt: skip
    for row in rows:
        places = [int(segment[1:]) for segment, name in classes.items() if name == row["difficulty"]]
        texts = SYSTEMS[row["system"], row["decoding"]]
        expected = chrf_value([texts[place] for place in places], [REFERENCES[place] for place in places])
        assert row["value"] == pytest.approx(expected) and row["low"] <= row["value"] <= row["high"]


def test_easy_samples_are_of_the_easiest_fifth_by_the_source_alone(tmp_path):
    train = ["the cat sat on the mat"] * 5 + [
        f"an exceedingly rare {'w' * n} came up in conversation" for n in range(35)
    ]
    write_json(tmp_path / "manifest.json", {"section": {"pair": "en-ja"}})
    pl.DataFrame({"split": "train", "source": train}).write_parquet(tmp_path / "pairs.parquet")
    hypotheses = pl.DataFrame({"segment_id": ["a", "b"], "source": ["the cat sat", "a quizzical ornithopter " * 4]})
    classes = segment_classes(hypotheses, tmp_path)
    assert classes["a"] in EASY and classes["b"] == "very-difficult"


def test_a_metric_that_rewarded_or_selected_is_no_judge():
    assert role("sft", "greedy", "chrF2") == "judge"
    assert role("rl", "greedy", "chrF2") == role("merge", "greedy", "chrF2") == "reward"
    assert role("merge", "mbr", "chrF2") == role("sft", "mbr", "chrF2") == "selector"
    assert role("merge", "mbr", "BLEU") == "judge"


def test_tensorboard_has_the_stage_table_in_the_order_of_the_pipeline(evaluated):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(evaluated / "tensorboard")).Reload()
    found = [(event.step, event.value) for event in events.Scalars("chrF2/value")]
    expected = [row["value"] for row in read_json(evaluated / "scores.json") if row["metric"] == "chrF2"]
    assert found == [(place, pytest.approx(value, rel=1e-5)) for place, value in enumerate(expected)]
    assert len(found) == 3
