import json
from pathlib import Path

import pytest

from in2x.overrides import parse_value
from in2x.recipe import RecipeError, load

ROOT = Path(__file__).parents[1]

FULL = """
seed = 7

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
mixture = { en = 0.5, "ja:knowledge" = 0.5 }

[[pretrain.phases]]
name = "two"
tokens = 10_000
context_tokens = 64
lr = 1e-3
mixture = { pairs = 1 }

[instruct]
[sft]
seed = 3
[reward]
[rl]
[merge]
[translate]
[evaluate]
[report]
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a recipe beside a base with 256 positions; the current directory is theirs."""
    monkeypatch.chdir(tmp_path)
    base = tmp_path / "models/base"
    base.mkdir(parents=True)
    (base / "config.json").write_text(json.dumps({"max_position_embeddings": 256}))

    def write(text=FULL, name="full.toml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return write


def problems(path, *overrides):
    with pytest.raises(RecipeError) as caught:
        load(path, overrides)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_loads(path, tmp_path, monkeypatch):
    import tomllib

    from in2x.model_size import is_hub_id

    monkeypatch.chdir(tmp_path)
    base = tomllib.loads(path.read_text(encoding="utf-8")).get("pretrain", {}).get("base")
    if base and not is_hub_id(base):  # its base is made by another recipe
        (tmp_path / base).mkdir(parents=True)
        (tmp_path / base / "config.json").write_text("{}")
    assert load(path).name == path.stem


def test_name_folder_and_seeds_have_defaults(write):
    recipe = load(write())
    assert (recipe.name, str(recipe.folder), recipe.threads) == ("full", "runs/full", None)
    assert (recipe.corpus.seed, recipe.rl.seed) == (7, 7)
    assert recipe.sft.seed == 3  # its own
    assert load("full.toml", ["--seed=9", "--name=x"]).rl.seed == 9
    assert str(load("full.toml", ["--name=x"]).folder) == "runs/x"


def test_a_stage_without_a_table_is_not_part_of_the_recipe(write):
    recipe = load(write(FULL.split("[instruct]")[0]))
    assert recipe.stages == ("corpus", "pretrain")
    assert recipe.sft is None
    assert load(write()).stages[-3:] == ("translate", "evaluate", "report")


def test_a_stage_needs_its_inputs(write):
    text = FULL.replace("[instruct]\n", "")
    assert "full.toml: sft: sft needs instruct, which the recipe doesn't have: add an [instruct] table" in problems(
        write(text)
    )
    text = FULL.replace("[reward]\n", "")
    assert problems(write(text)) == [
        "full.toml: rl: rl needs reward, which the recipe doesn't have: add a [reward] table"
    ]


def test_translate_and_report_take_the_stages_that_there_are(write):
    text = FULL.split("[instruct]")[0] + "[translate]\n[evaluate]\n[report]\n"
    assert load(write(text)).stages == ("corpus", "pretrain", "translate", "evaluate", "report")


# --- what is wrong, in words ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("[rl]", "[rl]\nlrr = 1"), "rl.lrr: unknown key; did you mean 'rl.lr'?"),
        (("[rl]", "[rl]\noptimizer.nam = 'muon'"), "rl.optimizer.nam: unknown key; did you mean 'rl.optimizer.name'?"),
        (("lr = 1e-3", "lr = 1\nlrr = 1"), "pretrain.phases.0.lrr: unknown key; did you mean 'pretrain.phases.0.lr'?"),
        (("[sft]", "[sft]\ngroup_size = 8"), "sft.group_size: unknown key; there is 'rl.group_size'"),
        (("[merge]", "[merge]\n[mergge]"), "mergge: unknown key; did you mean 'merge'?"),
        (("[sft]", "[sft]\nlr = 'fast'"), "sft.lr: expected a number, got 'fast'"),
        (("[sft]", "[sft]\nlr = 0"), "sft.lr: expected a number above 0, got 0"),
        (("[sft]", "[sft]\nwarmup_fraction = 2"), "sft.warmup_fraction: expected at most 1, got 2"),
        (("num_dev = 50", "num_dev = 1.5"), "corpus.num_dev: expected a whole number, got 1.5"),
        (("[rl]", "[rl]\nalgorithm = 'pppo'"), "rl.algorithm: expected 'tic-grpo', 'fspo',"),
        (("[rl]", "[rl]\ndirections = 'en-ja'"), "rl.directions: expected a list, got 'en-ja'"),
        (("[rl]", "[rl]\noptimizer = 3"), "rl.optimizer: expected a table, got 3"),
        (("[rl]", "[rl]\ngroup_size = 7"), "rl: batch_completions must be a multiple of group_size"),
        (("tokens = 10_000\n", ""), "pretrain.phases.0.tokens: missing"),
        (("[corpus]", "[corpus]\nsources = [{ name = 'a', kind = 'tsv', path = 5 }]"),
         "corpus.sources.0.path: expected a path or a list, got 5"),
        (("seed = 7", "seed = 'x'"), "seed: expected a whole number, got 'x'"),
        (("seed = 7", "seed = 7\nthreads = 0"), "threads: expected at least 1, got 0"),
    ],
)  # fmt: skip
def test_one_problem_is_one_line_that_names_its_place(write, change, line):
    found = problems(write(FULL.replace(*change, 1)))
    assert len(found) == 1
    assert found[0].startswith(f"full.toml: {line}")


def test_all_problems_are_listed_at_once(write):
    text = FULL.replace("[rl]", "[rl]\nlrr = 1").replace("[sft]", "[sft]\nlr = 'fast'").replace("[reward]", "")
    places = [line.split(": ")[1] for line in problems(write(text.replace("models/base", "models/bse")))]
    assert sorted(places) == ["pretrain.base", "rl", "rl.lrr", "sft.lr"]


def test_a_list_of_wrong_entries_is_not_called_too_short(write):
    lines = problems(write(FULL.replace("tokens = 10_000\n", "")))
    assert lines == [f"full.toml: pretrain.phases.{index}.tokens: missing" for index in (0, 1)]


def test_toml_that_cannot_be_parsed_is_named_with_its_line(write):
    (line,) = problems(write("seed = 1\nname = \n"))
    assert line.startswith("full.toml: not valid TOML: ") and "line 2" in line


def test_a_missing_recipe_is_named_with_the_nearest_one(write):
    write()
    assert problems("ful.toml") == ["ful.toml: there is no such recipe; did you mean full.toml?"]


# --- overrides ------------------------------------------------------------------------------------------------


def test_overrides_are_toml_values_or_else_text(write):
    recipe = load(write(), [
        "--rl.lr=1e-5", "--rl.algorithm=grpo", "--rl.directions=['ja-en']", "--rl.optimizer.name=muon",
        "--pretrain.phases.1.tokens=2_000", "--pretrain.phases.0.mixture.documents=2", "--threads=2",
    ])  # fmt: skip
    assert (recipe.rl.lr, recipe.rl.algorithm, recipe.rl.directions) == (1e-5, "grpo", ("ja-en",))
    assert recipe.rl.optimizer.name == "muon"
    assert [phase.tokens for phase in recipe.pretrain.phases] == [10_000, 2_000]
    assert recipe.pretrain.phases[0].mixture == {"en": 0.5, "ja:knowledge": 0.5, "documents": 2.0}
    assert recipe.threads == 2


@pytest.mark.parametrize("text", ["", "fast", "en-ja", "2024-01-01", "12:30:00", "1\nb = 2", "[1", "{a = }"])
def test_what_is_no_toml_value_is_text(text):
    assert parse_value(text) == text


def test_the_last_override_of_a_key_counts(write):
    assert load(write(), ["--rl.lr=1", "--rl.lr=2"]).rl.lr == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--rl.lrr=1", "unknown key; did you mean 'rl.lr'?"),
        ("--rl.lr=fast", "expected a number, got 'fast'"),
        ("--corpus.num_dev.x=1", "corpus.num_dev is not a table: it has no 'x'"),
        ("--pretrain.phases.2.lr=1", "pretrain.phases is a list of 2: its entries are numbered from 0 to 1"),
        ("--pretrain.phases.one.lr=1", "pretrain.phases is a list of 2"),
        ("--corpus.sources.0.name=a", "the recipe gives no list corpus.sources; give the whole list"),
        ("--rll.lr=1", "the recipe has no [rll] table; did you mean 'rl'?"),
        ("--rl.directions.0=en-ja", "the recipe gives no list rl.directions"),
        ("--merge.num_dev=51", "51 segments, but corpus.num_dev holds out 50"),
    ],
)
def test_a_wrong_override_is_the_place_that_is_named(write, override, message):
    (line,) = problems(write(), override)
    assert line.startswith(f"{override}: {message}")


def test_an_override_adds_no_stage(write):
    (line,) = problems(write(FULL.split("[instruct]")[0]), "--rl.lr=1")
    assert line == "--rl.lr=1: the recipe has no [rl] table to override"


def test_a_problem_of_a_whole_section_names_the_overrides_in_it(write):
    (line,) = problems(write(), "--rl.group_size=7")
    assert line.startswith("full.toml: rl: batch_completions must") and line.endswith("(with --rl.group_size=7)")
