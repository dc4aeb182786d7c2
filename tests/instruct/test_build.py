import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.instruct.build import run
from in2x.records import INSTRUCTIONS
from in2x.sections import InstructSection

SMALL = InstructSection(num_sft=60, num_rl=20, seed=3)


def read(folder):
    return pl.read_parquet(folder / "sft.parquet"), pl.read_parquet(folder / "rl.parquet")


def groups_of(table: pl.DataFrame, corpus) -> set[int]:
    """Groups of every pair that the instructions are made of, by their ids."""
    names = table["id"].str.split("/").list.first().str.split("+").explode()
    return set(pl.read_parquet(corpus / "pairs.parquet").filter(pl.col("id").is_in(names.implode()))["group"])


@pytest.fixture
def built(corpus, tmp_path):
    folder = corpus()
    results = run(SMALL, tmp_path / "instruct", {"corpus": folder})
    return folder, *read(tmp_path / "instruct"), results


def test_sft_and_rl_share_no_group(built):
    corpus, sft, rl, _ = built
    assert groups_of(sft, corpus) and groups_of(rl, corpus)
    assert not groups_of(sft, corpus) & groups_of(rl, corpus)
    parts = sft.filter(task="paragraph")["id"].str.count_matches(r"\+") + 1
    assert set(parts) == {2, 3}  # whose second and third groups count too


def test_an_epoch_takes_one_instruction_per_group(built):
    corpus, sft, rl, _ = built
    for _, epoch in sft.group_by("epoch"):
        assert len(groups_of(epoch, corpus)) == sum(len(groups_of(row, corpus)) for row in epoch.iter_slices(1))
    assert rl["group"].is_unique().all()


def test_tables_hold_what_the_results_say(built):
    _, sft, rl, results = built
    assert tuple(sft.columns) == tuple(rl.columns) == INSTRUCTIONS
    assert results["num_sft"] == [len(sft.filter(epoch=epoch)) for epoch in (0, 1)]
    assert results["num_rl"] == len(rl) and set(rl["epoch"]) == {0}
    assert sum(results["tasks"].values()) == sum(results["directions"].values()) == len(sft)
    assert set(rl["task"]) == {"translate", "register"} and rl["response"].equals(rl["reference"], check_names=False)
    assert {row["task"] for row in results["examples"]} == set(sft["task"])
    assert not sft["prompt"].str.contains("Nobody").any()  # the test split


def test_difficulty_shares(corpus, tmp_path):
    section = InstructSection(num_sft=100, num_rl=10, num_epochs=1, tasks={"translate": 1})
    results = run(section, tmp_path / "instruct", {"corpus": corpus()})
    assert results["difficulty"] == {"very-difficult": 30, "difficult": 30, "moderate": 30, "simple": 10}
    assert results["directions"] == {"en-ja": 70, "ja-en": 30} and results["shortfall"] == {}
    assert results["epoch_overlap_fraction"] == 0


def test_epochs_are_different_draws(built):
    _, sft, _, results = built
    first, second = (set(sft.filter(epoch=epoch)["id"]) for epoch in (0, 1))
    assert results["epoch_overlap_fraction"] == 0 and not first & second


def test_overlap_is_reported_when_the_corpus_is_used_up(corpus, tmp_path):
    section = InstructSection(num_sft=300, num_rl=10, tasks={"translate": 1}, difficulty_shares=(1, 1, 1, 1, 1))
    results = run(section, tmp_path / "instruct", {"corpus": corpus()})
    assert 0 < results["epoch_overlap_fraction"] < results["epoch_cluster_overlap_fraction"] < 1


def test_a_shortfall_is_reported_and_not_filled_up(corpus, tmp_path):
    section = SMALL.model_copy(update={"num_sft": 1000})
    results = run(section, tmp_path / "instruct", {"corpus": corpus()})
    for epoch, number in enumerate(results["num_sft"]):
        missing = results["shortfall"][f"sft epoch {epoch}"]
        assert sum(missing.values()) == 1000 - number > 0
        assert "translate en-ja very-difficult" in missing
    assert results["num_rl"] <= 20 and "very-difficult" in (tmp_path / "instruct/card.md").read_text()


def test_rl_leaves_a_small_corpus_to_sft(corpus, tmp_path):
    section = InstructSection(num_sft=100, num_rl=200, tasks={"translate": 1})
    results = run(section, tmp_path / "instruct", {"corpus": corpus()})
    assert results["num_rl"] <= 450 / 2 and results["num_sft"] == [100, 100]
    section = section.model_copy(update={"num_sft": 1000, "num_rl": 1000})
    results = run(section, tmp_path / "instruct", {"corpus": corpus()})
    assert 0 < results["num_rl"] <= 450 / 3 and results["num_sft"][0] >= 200


def test_rows_depend_on_the_seed_and_not_on_the_order(corpus, tmp_path):
    orders = [corpus(), corpus(1), corpus()]
    sections = [SMALL, SMALL, SMALL.model_copy(update={"seed": 4})]
    tables = []
    for number, (folder, section) in enumerate(zip(orders, sections, strict=True)):
        run(section, tmp_path / f"instruct-{number}", {"corpus": folder})
        tables.append(read(tmp_path / f"instruct-{number}"))
    assert tables[0][0].equals(tables[1][0]) and tables[0][1].equals(tables[1][1])
    assert not tables[0][0].equals(tables[2][0])


def test_bad_recipes_and_corpora(corpus, tmp_path):
    with pytest.raises(In2xError, match="unknown task 'summarise'.*translate"):
        run(InstructSection(tasks={"summarise": 1}), tmp_path / "a", {"corpus": corpus()})
    held_out = [{"id": "x", "group": 0, "split": "test", "domain": "knowledge", "origin": "made",
                 "source": "Hi.", "target": "やあ。"}]  # fmt: skip
    with pytest.raises(In2xError, match="no training pairs"):
        run(SMALL, tmp_path / "b", {"corpus": corpus(rows=held_out)})
