"""Settings that are right by themselves and don't fit together."""

import json
from pathlib import Path

import pytest

from in2x import checks
from in2x.model_size import is_hub_id
from in2x.recipe import RecipeError, load

RECIPE = """
[corpus]
num_dev = 50
num_test = 100
[pretrain]
base = "models/base"
step_tokens = 1024
[[pretrain.phases]]
name = "one"
tokens = 10_000
context_tokens = 128
lr = 1e-3
mixture = { en = 1 }
[instruct]
[sft]
[reward]
[rl]
[merge]
[translate]
"""


@pytest.fixture(autouse=True)
def recipe_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = tmp_path / "models/base"
    base.mkdir(parents=True)
    (base / "config.json").write_text(json.dumps({"max_position_embeddings": 256}))
    Path("r.toml").write_text(RECIPE)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--rl.directions=['en-zh']", "=['en-zh']: expected 'en-ja' or 'ja-en' (of corpus.pair), got 'en-zh'"),
        ("--rl.directions=[]", "at least one direction is needed"),
        ("--pretrain.phases.0.mixture.zh=1", "unknown stream; known are en, ja, pairs, documents, switched"),
        ("--pretrain.phases.0.mixture={'ja:conversation'=1}", "unknown stream; did you mean 'ja:conversational'?"),
        ("--pretrain.phases.0.context_tokens=257", "257 tokens, but the model has 256 positions"),
        ("--pretrain.phases.0.context_tokens=257", "or a context of at most that"),
        ("--pretrain.lexicon=words.tsv", "there is no file words.tsv"),
        ("--pretrain.phases.0.mixture={}", "expected at least 1 entries"),
        ("--sft.context_tokens=257", "257 tokens, but the model has 256 positions"),
        ("--translate.max_completion_tokens=257", "257 tokens, but the model has 256 positions"),
        ("--pretrain.step_tokens=127", "128 tokens are more than pretrain.step_tokens, 127"),
        ("--rl.reward_weights={adequacy=1,lenght=1}", "unknown component; did you mean 'length'?"),
        ("--rl.reward_weights={adequacy=0}", "at least one component needs a weight other than 0"),
        ("--rl.length_buffer_tokens=65", "65 is more than rl.max_completion_tokens, 64"),
        ("--rl.keep_checkpoints=1", "merge needs two or more, got 1"),
        ("--rl.keep_checkpoints=101", "101 is more than rl.num_batches, 100"),
        ("--instruct.tasks={transalte=1}", "unknown task; did you mean 'translate'?"),
        ("--instruct.difficulty_shares=[0,0,0,0,0]", "expected shares of 0 or more, one of them above 0"),
        (
            "--translate={utility='plugin',plugin='comet',plugin_python='p/python',plugin_model='m'}",
            "there is no file p/python",
        ),
        ("--translate.approximation=aggregat", "'coarse-to-fine' or 'pruned', got 'aggregat'"),
        ("--translate.num_segments=101", "101 segments, but corpus.num_test holds out 100"),
        ("--rl.num_dev=51", "51 segments, but corpus.num_dev holds out 50"),
        ("--corpus.pair=en-zh", "tatoeba holds en-ja, and corpus.pair is en-zh"),
        ("--corpus.sources=[{name='a',kind='tsv',path='p.tsv'}]", "there is no file p.tsv in "),
        ("--corpus.sources=[{name='a',kind='text',language='zh',path='r.toml'}]", "expected 'en' or 'ja', got 'zh'"),
        ("--pretrain.base=models/bsae", "did you mean models/base?"),
        ("--pretrain.base=./modles/base", "did you mean models/base?"),
        ("--pretrain.base=models", "models is no model: it holds no config.json"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(override, message):
    with pytest.raises(RecipeError) as caught:
        load("r.toml", [override])
    assert message in str(caught.value)


def test_sources_have_different_names():
    sources = "[{name='a',kind='tsv',path='r.toml'},{name='a',kind='tsv',path='r.toml'}]"
    with pytest.raises(RecipeError, match="'a' is taken: names of sources must differ"):
        load("r.toml", [f"--corpus.sources={sources}"])


@pytest.mark.parametrize(
    ("scratch", "message"),
    [
        ("num_heads=3,num_kv_heads=2", "3 is no multiple of num_kv_heads, 2"),
        ("head_dim=7", "rotary positions need an even number, got 7"),
        ("vocab_size=259", "at least 260 pieces, got 259"),
        ("max_position_tokens=127", "128 tokens, but the model has 127 positions"),
    ],
)
def test_an_architecture_must_be_possible(scratch, message):
    Path("r.toml").write_text(RECIPE.replace('base = "models/base"', f"scratch = {{ {scratch} }}"))
    with pytest.raises(RecipeError, match=message):
        load("r.toml")


def test_what_a_default_asks_for_is_taken_as_far_as_it_goes():
    recipe = load("r.toml")
    assert recipe.merge.num_dev > recipe.corpus.num_dev
    assert recipe.translate.num_segments > recipe.corpus.num_test


def test_both_directions_and_every_kind_of_stream_fit():
    mixture = "{en=1,ja=1,pairs=1,documents=1,'en:knowledge'=1,'pairs:conversational'=1}"
    load("r.toml", ["--rl.directions=['en-ja','ja-en']", f"--pretrain.phases.0.mixture={mixture}"])


def test_hub_ids_are_neither_folders_nor_like_one(tmp_path):
    (tmp_path / "Team").mkdir()
    assert is_hub_id("Qwen/Qwen3-0.6B")
    for path in ("models/base", "runs/tiny", "./a/b", "/a/b", "a", "a/b/c", "~/a", "Team/model"):
        assert not is_hub_id(path), path
    assert load("r.toml", ["--pretrain.base=Qwen/Qwen3-0.6B"]).pretrain.base == "Qwen/Qwen3-0.6B"


def test_warnings_are_for_what_is_hardly_meant():
    assert checks.warnings(load("r.toml")) == []
    found = checks.warnings(load("r.toml", ["--instruct.num_rl=400", "--pretrain.phases.0.tokens=1000",
                                            "--rl.end_temperature=1.1"]))  # fmt: skip
    assert found[:2] == [
        "pretrain: phase 'one' has 1,000 tokens, a step 1,024",
        "rl: draws 800 prompts of instruct.num_rl = 400, each 2.0 times",  # 100 batches of 128 / 16
    ]
    assert "lowers it" in found[2]


def test_names_are_those_that_the_stages_know():
    tasks = pytest.importorskip("in2x.instruct.tasks")
    rewards = pytest.importorskip("in2x.rewards.translation")
    assert set(checks.TASKS) == set(tasks.TASKS)
    assert set(checks.REWARDS) == set(rewards.COMPONENTS)


def test_rope_lifts_the_limit_for_its_phase_and_what_comes_after():
    load("r.toml", ["--pretrain.phases.0.context_tokens=512", '--pretrain.phases.0.rope={kind="yarn"}'])
    load("r.toml", ["--pretrain.phases.0.context_tokens=512", '--pretrain.phases.0.rope={kind="yarn"}',
                    "--sft.context_tokens=512"])  # fmt: skip
    with pytest.raises(RecipeError, match="513 tokens, but the model has 512 positions"):
        load("r.toml", ["--pretrain.phases.0.context_tokens=512", '--pretrain.phases.0.rope={kind="yarn"}',
                        "--sft.context_tokens=513"])  # fmt: skip


def test_pseudo_references_come_from_a_model_that_the_recipe_has():
    assert load("r.toml", ["--translate.pseudo_references=merge"]).translate.pseudo_references == "merge"
    Path("r.toml").write_text(RECIPE.replace("[merge]\n", ""))
    with pytest.raises(RecipeError, match=r"the recipe has no \[merge\] whose model could sample"):
        load("r.toml", ["--translate.pseudo_references=merge"])
