"""The reward of a recipe's section: what it loads, and what it refuses before anything is sampled."""

import numpy as np
import polars as pl
import pytest

from in2x.artifacts import In2xError, write_json
from in2x.evaluation.reconstruction import load_reconstructor
from in2x.model.loading import save_model
from in2x.model.precision import training_dtype
from in2x.records import Completion
from in2x.rewards import naturalness
from in2x.rewards.alignment import train_lexicon
from in2x.rewards.build import build_reward
from in2x.rewards.groups import Group
from in2x.sections import RlSection

PAIRS = [("a dog " * n, "犬が" * n) for n in range(1, 31)]
TEXTS = ["彼は毎日学校へ行きます。", "彼は学校へ行く。"]


@pytest.fixture
def inputs(tmp_path, make_model, tokenizer):
    folders = {name: tmp_path / name for name in ("corpus", "sft", "reward")}
    for folder in folders.values():
        folder.mkdir()
    write_json(folders["corpus"] / "manifest.json", {"section": {"pair": "en-ja"}})
    sources, targets = map(list, zip(*PAIRS, strict=True))
    pl.DataFrame({"split": ["train"] * 30, "source": sources, "target": targets}).write_parquet(
        folders["corpus"] / "pairs.parquet"
    )
    save_model(make_model(), tokenizer, tmp_path / "lm")
    save_model(make_model(seed=1), tokenizer, folders["sft"] / "model")
    model = naturalness.load(tmp_path / "lm", from_language_model=True)
    model.config.pad_token_id = tokenizer.pad_token_id
    save_model(model, tokenizer, folders["reward"] / "naturalness")
    train_lexicon(sources, targets, "en", "ja").save(folders["reward"] / "lexicon.parquet")
    return folders


def group(task="translate", reference=TEXTS[0], texts=TEXTS, **more):
    completions = [Completion([7] * 5, [-1.0] * 5, text, True) for text in texts]
    return Group("a", [1], "He goes to school.", reference, "ja", completions, source_language="en", task=task, **more)


def test_everything_that_is_local_in_one_batch(tmp_path, inputs, tokenizer):
    local = ("adequacy", "bleu", "embedding", "coverage", "reconstruction", "naturalness", "length",
             "relative_length", "repetition", "numbers", "dates", "markup", "terms", "untranslated", "script",
             "register", "format")  # fmt: skip
    section = RlSection(
        reward_weights=dict.fromkeys(local, 1.0), reward_embedding_model=tmp_path / "lm",
        reward_expected_length="source", reward_cap_quantile=0.5,
    )  # fmt: skip
    reward = build_reward(section, tokenizer, inputs)
    prompt = "Translate into polite Japanese:\nHe goes to school."
    rewarded = reward([group(prompt=prompt), group(texts=TEXTS[::-1])])
    assert set(rewarded.components_PG) == set(local)
    assert not rewarded.unscorable_counts()
    assert rewarded.components_PG["register"][0].tolist() == [1.0, 0.0]
    assert set(rewarded.composed.component_means) == set(local)


def test_the_preference_model_in_bfloat16_orders_alike(inputs, tokenizer):
    exact, rounded = (
        build_reward(RlSection(reward_weights={"naturalness": 1.0}, reward_preference_dtype=dtype), tokenizer, inputs)
        for dtype in ("float32", "bfloat16")
    )
    assert str(rounded.resources.preference[0].dtype) == "torch.bfloat16"
    told = build_reward(
        RlSection(reward_weights={"naturalness": 1.0}, reward_preference_dtype="auto"), tokenizer, inputs
    )
    assert str(told.resources.preference[0].dtype) == f"torch.{training_dtype('auto', 'cpu')}"
    one, other = (reward([group()]).components_PG["naturalness"] for reward in (exact, rounded))
    assert other == pytest.approx(one, abs=0.05)


def test_the_supervised_model_translates_back_into_each_source_language(inputs, tokenizer):
    section = RlSection(reward_weights={"reconstruction": 1.0})
    back = Group(
        "b", [1], "犬がいる。", None, "en", [Completion([7], [-1.0], "A dog.", True)] * 2, source_language="ja"
    )
    found = build_reward(section, tokenizer, inputs)([group(), back]).components_PG["reconstruction"]
    direct = load_reconstructor(inputs["sft"] / "model")
    expected = [direct.scores([("He goes to school.", text, "en") for text in TEXTS]),
                direct.scores([("犬がいる。", "A dog.", "ja")] * 2)]  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_mixed_tasks_have_their_own_weights(inputs, tokenizer):
    section = RlSection(reward_weights={"adequacy": 1.0}, reward_task_weights={"maths": {"answer": 1.0, "format": 0.1}})
    reward = build_reward(section, tokenizer, inputs)
    rewarded = reward([group(), group("maths", "4", ["Answer: 4", "It is 4."])])
    first, second = rewarded.composed.rewards_PG
    assert first[0] > first[1] and second.tolist() == pytest.approx([1.1, -1.1])
    assert set(rewarded.components_PG["answer"][1].tolist()) == {1.0, 0.0}
    assert not (rewarded.components_PG["answer"][0] >= 0).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward_weights": {"lenght": 1.0}}, "unknown component 'lenght'"),
        ({"reward_weights": {"rubric": 1.0}}, "'rubric' needs a judge: rl.reward_judge_url"),
        ({"reward_weights": {"embedding": 1.0}}, "'embedding' needs an embedding model"),
        ({"reward_weights": {"qe": 1.0}}, "'qe' needs a quality-estimation metric"),
        ({"reward_weights": {"qe": 1.0}, "reward_estimator": "comet"}, "reward_estimator_python"),
    ],
)
def test_what_is_missing_is_told_before_the_run(inputs, tokenizer, changes, message):
    with pytest.raises(In2xError, match=message):
        build_reward(RlSection(**changes), tokenizer, inputs)


def test_a_component_without_its_file(inputs, tokenizer):
    (inputs["reward"] / "lexicon.parquet").unlink()
    with pytest.raises(In2xError, match="no alignment lexicon is there .* set reward.lexicon_pairs"):
        build_reward(RlSection(reward_weights={"coverage": 1.0}), tokenizer, inputs)


def test_guards_are_gates_of_the_reward_where_they_are_asked_for():
    from in2x.records import Completion
    from in2x.rewards.groups import Group
    from in2x.rewards.translation import TranslationReward

    texts = ["犬が好きです。", "犬が好きです。この翻訳は自然です。"]
    completions = [Completion([1], [0.0], text, True) for text in texts]
    group = Group("1", [1], "I like dogs.", "犬が好きだ。", "ja", completions)
    options = {"max_tokens": 8, "buffer_tokens": 2}
    for guards, expected in ((False, [None, None]), (True, [None, "judge"])):
        rewarded = TranslationReward({"adequacy": 1.0}, guards=guards, **options)([group])
        found = [reason and reason.split(":")[0] for reason in rewarded.failures_PG[0]]
        assert found == expected
