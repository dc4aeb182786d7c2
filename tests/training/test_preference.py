"""The reward stage on random weights: kinds of pairs, files of people, length, lexicon, going on from a model."""

import itertools
import json
from collections import Counter

import numpy as np
import polars as pl
import pytest

from in2x.artifacts import In2xError, write_json
from in2x.model.loading import load_tokenizer, save_model
from in2x.rewards import naturalness
from in2x.rewards.alignment import load_lexicon
from in2x.sections import RewardSection
from in2x.training import preference
from in2x.training.preference import kinds_in_turn

PAIRS = [
    (f"He reads book {n}.", f"彼は本{n}を毎日読みます。") if n % 2 else (f"I went to town {n}.", f"町{n}へ行きました。")
    for n in range(40)
]


@pytest.fixture
def inputs(tmp_path, make_model, tokenizer):
    folders = {name: tmp_path / name for name in ("corpus", "instruct", "sft")}
    for folder in folders.values():
        folder.mkdir()
    save_model(make_model(), tokenizer, folders["sft"] / "model")
    write_json(folders["corpus"] / "manifest.json", {"section": {"pair": "en-ja"}})
    sources, targets = zip(*PAIRS, strict=True)
    pl.DataFrame({"split": ["train"] * 40, "source": sources, "target": targets}).write_parquet(
        folders["corpus"] / "pairs.parquet"
    )
    rows = [
        {"id": str(n), "task": "translate", "direction": "en-ja", "prompt": f"Translate into Japanese:\n{source}",
         "response": target, "source": source}
        for n, (source, target) in enumerate(PAIRS)
    ]  # fmt: skip
    pl.DataFrame(rows).write_parquet(folders["instruct"] / "sft.parquet")
    return folders


def section(**changes):
    settings = {"num_pairs": 40, "max_completion_tokens": 4, "step_pairs": 16, "held_out_fraction": 0.25}
    return RewardSection(**settings | changes)


def run(folder, inputs, **changes):
    folder.mkdir()
    return preference.run(section(**changes), folder, inputs)


def test_kinds_take_turns():
    default = list(itertools.islice(kinds_in_turn({"shuffled": 0.25, "sampled": 0.75}), 4000))
    assert default == ["shuffled" if n % 4 == 0 else "sampled" for n in range(4000)]
    mixed = Counter(itertools.islice(kinds_in_turn({"a": 2.0, "b": 1.0, "c": 0.0, "d": 3.0}), 600))
    assert mixed == {"a": 200, "b": 100, "d": 300}


def test_what_the_stage_tells_and_writes(tmp_path, inputs):
    found = run(tmp_path / "reward", inputs)
    assert set(found["num_by_kind"]) == {"shuffled", "sampled"}
    assert sum(found["num_by_kind"].values()) == found["num_pairs"]
    assert 0 <= found["calibration"]["expected_error"] <= 1
    assert sum(row["num_pairs"] for row in found["calibration"]["reliability"]) == round(0.25 * found["num_pairs"])
    assert found["length"]["slope_removed"] == 0.0 and "lexicon" not in found
    assert (tmp_path / "reward" / "naturalness" / "model.safetensors").exists()


def test_rules_and_people_add_kinds_that_are_measured_apart(tmp_path, inputs):
    people = tmp_path / "people.jsonl"
    people.write_text("\n".join(json.dumps({"chosen": f"良い{n}", "rejected": f"悪い{n}"}) for n in range(30)))
    found = run(tmp_path / "reward", inputs, preference_files=(people,),
                pair_kinds={"sampled": 0.25, "particles": 0.5, "pronouns": 0.25})  # fmt: skip
    assert {"particles", "pronouns", "human:people"} <= set(found["num_by_kind"])
    assert found["num_by_kind"]["human:people"] == 30 and found["num_by_kind"]["particles"] == 20
    assert {"held_out_particles", "held_out_human:people"} <= set(found["accuracy"])
    pairs = pl.read_parquet(tmp_path / "reward" / "pairs.parquet")
    assert (pairs["chosen"] != pairs["rejected"]).all()


def test_length_is_regressed_out_of_what_people_wrote(tmp_path, inputs):
    folder = tmp_path / "reward"
    found = run(folder, inputs, length_bias="regress")
    model, tokenizer = naturalness.load(folder / "naturalness"), load_tokenizer(folder / "naturalness")
    slope = naturalness.length_correction(model)
    assert slope == found["length"]["slope_removed"] != 0.0
    pairs = pl.read_parquet(folder / "pairs.parquet")
    texts = pairs.tail(len(pairs) - round(0.25 * len(pairs)))["chosen"].unique(maintain_order=True).to_list()
    logs = np.log1p([len(text) for text in texts])
    corrected = naturalness.naturalness(model, tokenizer, texts)
    assert np.polyfit(logs, corrected, 1)[0] == pytest.approx(0.0, abs=1e-5)
    naturalness.correct_for_length(model, 0.0)
    np.testing.assert_allclose(naturalness.naturalness(model, tokenizer, texts) - slope * logs, corrected, atol=1e-6)


def test_a_lexicon_is_trained_where_one_is_asked_for(tmp_path, inputs):
    found = run(tmp_path / "reward", inputs, lexicon_pairs=40)
    lexicon = load_lexicon(tmp_path / "reward" / "lexicon.parquet")
    assert found["lexicon"]["num_pairs"] == 40
    assert lexicon.coverage("He reads", "本を読む") > lexicon.coverage("He reads", "町へ行く")


def test_negatives_are_renewed_against_another_policy(tmp_path, inputs, make_model, tokenizer):
    run(tmp_path / "first", inputs)
    save_model(make_model(seed=7), tokenizer, tmp_path / "policy")
    renewed = {"sampling_model": tmp_path / "policy", "continue_from": tmp_path / "first" / "naturalness"}
    run(tmp_path / "second", inputs, lr=1e-9, **renewed)
    tables = [pl.read_parquet(tmp_path / name / "pairs.parquet") for name in ("first", "second")]
    first, second = (table.filter(kind="sampled") for table in tables)
    assert first["chosen"].to_list()[:3] == second["chosen"].to_list()[:3]
    assert first["rejected"].to_list() != second["rejected"].to_list()
    texts = [target for _, target in PAIRS]
    scores = [
        naturalness.naturalness(naturalness.load(tmp_path / name / "naturalness"), tokenizer, texts)
        for name in ("first", "second")
    ]
    np.testing.assert_allclose(*scores, atol=1e-4)  # it went on from there, and hardly learnt


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pair_kinds": {"passive": 1.0}}, "unknown kind 'passive'"),
        ({"pair_kinds": {"sampled": 0.0}}, "expected a share above 0"),
    ],
)
def test_kinds_that_there_are_not(tmp_path, inputs, changes, message):
    with pytest.raises(In2xError, match=message):
        run(tmp_path / "reward", inputs, **changes)


def test_rules_are_for_japanese_alone(tmp_path, inputs):
    write_json(inputs["corpus"] / "manifest.json", {"section": {"pair": "en-zh"}})
    with pytest.raises(In2xError, match="particles is made of Japanese"):
        run(tmp_path / "reward", inputs, pair_kinds={"particles": 1.0})
