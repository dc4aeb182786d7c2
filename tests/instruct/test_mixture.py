import json

import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.instruct.build import run
from in2x.instruct.mixture import numbers
from in2x.records import INSTRUCTIONS
from in2x.sections import InstructSection
from in2x.sections.instruct import Extra

TASKS = {"translate": 0.6, "arithmetic": 0.4}


def section(**more) -> InstructSection:
    return InstructSection(**{"tasks": TASKS, "num_sft": 50, "num_rl": 20, "num_epochs": 2, "seed": 3} | more)


def extra(path, use, task="creative", **more) -> Extra:
    return Extra(path=path, use=use, task=task, direction="ja-ja", **more)


@pytest.fixture
def build(corpus, tmp_path):
    def made(one: InstructSection):
        results = run(one, tmp_path / "instruct", {"corpus": corpus()})
        return results, *(pl.read_parquet(tmp_path / f"instruct/{name}.parquet") for name in ("sft", "rl"))

    return made


@pytest.fixture
def prompts(tmp_path):
    def written(number, name="a.jsonl", text="Write about {}."):
        path = tmp_path / name
        rows = [{"prompt": text.format(place), "response": f"r{place}", "answer": place} for place in range(number)]
        path.write_text("\n".join(map(json.dumps, rows)))
        return path

    return written


def test_arithmetic_beside_translations(build):
    results, sft, rl = build(section())
    assert tuple(sft.columns) == tuple(rl.columns) == INSTRUCTIONS
    assert results["num_sft"] == [50, 50] and results["num_rl"] == 20 and results["shortfall"] == {}
    assert results["tasks"] == {"translate": 60, "arithmetic": 40}
    assert results["rl_tasks"] == {"translate": 12, "arithmetic": 8}
    made = pl.concat([sft, rl]).filter(task="arithmetic")
    assert made["source"].is_unique().all() and made["group"].is_unique().all() and made["id"].is_unique().all()
    by_direction = dict(made["direction"].value_counts().iter_rows())
    assert by_direction == {"ja-ja": 31, "en-en": 17}  # 13, 13 and 5 by the largest remainders of 0.7 in each level
    assert (made["reference"].str.contains(r"^\d+$")).all() and not (made["response"] == made["reference"]).any()
    assert made["group"].min() > pl.concat([sft, rl]).filter(task="translate")["group"].max()
    assert {row["task"] for row in results["examples"]} == set(TASKS)


def test_what_is_made_of_pairs_does_not_depend_on_what_stands_beside_it(build, prompts):
    _, sft, rl = build(section(tasks={"translate": 1}, num_sft=30, num_rl=12))
    _, mixed_sft, mixed_rl = build(section())
    assert mixed_sft.filter(task="translate").equals(sft) and mixed_rl.filter(task="translate").equals(rl)
    path = prompts(40)
    beside = (extra(path, "sft", count=20), extra(path, "rl", count=8))
    _, with_files, _ = build(section(tasks={"translate": 1}, extra=beside))
    assert with_files.filter(task="translate").equals(sft)


def test_files_for_both_uses_share_no_prompt(build, prompts):
    path = prompts(40)
    files = extra(path, "sft", share=0.5), extra(path, "rl", count=10)
    results, whole_sft, whole_rl = build(section(extra=files))
    sft, rl = (table.filter(task="creative") for table in (whole_sft, whole_rl))
    assert len(rl) == 10 and len(sft) == 50 and results["num_sft"] == [50, 50]
    assert not set(sft["prompt"]) & set(rl["prompt"]) and not set(sft["group"]) & set(rl["group"])
    assert sft.filter(epoch=0)["id"].is_unique().all()
    others = pl.concat([whole_sft, whole_rl]).filter(pl.col("task") != "creative")
    assert not set(others["group"]) & (set(sft["group"]) | set(rl["group"]))
    first, second = (set(sft.filter(epoch=epoch)["id"]) for epoch in (0, 1))
    assert len(first & second) == 20  # of 30 rows that RL left, 25 in each epoch
    assert rl["reference"].null_count() == 10 and set(rl["difficulty"]) == {"ungraded"}
    assert rl["id"][0].startswith("a.jsonl:") and rl["id"][0].endswith("/creative/ja-ja")
    assert [file["drawn"] for file in results["files"]] == [10, 25]
    assert results["files"][1]["prompt_taken"] == 10


def test_prompts_that_differ_in_spelling_alone_are_the_same(build, prompts):
    sft = extra(prompts(20), "sft", count=12)
    rl = extra(prompts(20, "b.jsonl", "ＷＲＩＴＥ about {}！"), "rl", "other", count=8)
    _, trained, asked = build(section(extra=(sft, rl)))
    trained = trained.filter(task="creative", epoch=0)
    places = [set(table["prompt"].str.extract(r"(\d+)")) for table in (trained, asked.filter(task="other"))]
    assert not places[0] & places[1] and list(map(len, places)) == [12, 8]


def test_conversations_have_a_column_of_their_own(build, prompts, tmp_path, tokenizer):
    from in2x.training.sft import instruction_documents

    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    (tmp_path / "m.jsonl").write_text(json.dumps({"messages": [*turns, *turns]}))
    one = extra(tmp_path / "m.jsonl", "sft", "talk", count=1, messages_column="messages")
    _, sft, rl = build(section(extra=(one,), num_epochs=1))
    assert sft.columns == [*INSTRUCTIONS, "messages"] and tuple(rl.columns) == INSTRUCTIONS
    assert sft["messages"].null_count() == len(sft) - 1
    documents = instruction_documents(sft, tokenizer)
    assert [document.id for document in documents] == sft["id"].to_list()
    end = tokenizer.eos_token_id
    trained = [(document.token_ids[document.loss_mask] == end).sum() for document in documents]
    assert trained.count(2) == 1 and trained.count(1) == len(sft) - 1  # both answers of the conversation


def test_a_short_file_is_a_shortfall_and_broken_rows_are_kept(build, prompts, tmp_path):
    path = prompts(9)
    path.write_text(path.read_text() + "\n{broken")
    results, sft, _ = build(section(extra=(extra(path, "sft", count=20),)))
    assert results["shortfall"] == {"sft, each epoch": {"creative ja-ja of a.jsonl": 11}}
    assert results["num_sft"] == [39, 39]
    rejected = pl.read_parquet(tmp_path / "instruct/rejected.parquet")
    assert rejected["line"].to_list() == [10]
    card = (tmp_path / "instruct/card.md").read_text()
    assert "creative ja-ja of a.jsonl: 11" in card and "| 10 | 1 | 0 | 9 |" in card


def test_how_many_come_from_where():
    path = "a.jsonl"
    files = (extra(path, "sft", share=0.2), extra(path, "rl", count=4), extra(path, "sft", count=5))
    found = numbers(section(tasks={"translate": 3, "arithmetic": 2}, extra=files), "sft")
    assert (found.pairs, found.arithmetic, found.extra) == (21, 14, {0: 10, 2: 5})
    found = numbers(section(tasks={"paragraph": 0.3, "glossary": 0.3, "arithmetic": 0.4}, extra=files), "rl")
    assert (found.tasks, found.pairs, found.arithmetic, found.extra) == ({"translate": 0.6}, 10, 6, {1: 4})
    found = numbers(section(tasks={"arithmetic": 1}), "rl")
    assert (found.tasks, found.pairs, found.arithmetic) == ({}, 0, 20)
    plain = numbers(InstructSection(), "sft")
    assert (plain.tasks, plain.pairs, plain.arithmetic) == (InstructSection().tasks, 20_000, 0)
    with pytest.raises(In2xError, match="21 rows for rl, more than instruct.num_rl, 20"):
        numbers(section(extra=(extra(path, "rl", count=21),)), "rl")


def test_arithmetic_alone_and_a_language_that_it_is_not_written_in(build, corpus, tmp_path):
    results, sft, rl = build(section(tasks={"arithmetic": 1}, target_fraction=1.0))
    assert set(sft["task"]) == {"arithmetic"} and set(sft["direction"]) == {"ja-ja"} and len(rl) == 20
    folder = corpus()
    (folder / "manifest.json").write_text(json.dumps({"section": {"pair": "en-zh"}}))
    with pytest.raises(In2xError, match="arithmetic is written in en and ja, and 70% of it would have to be in 'zh'"):
        run(section(), tmp_path / "zh", {"corpus": folder})


def test_files_of_one_name_keep_their_ids_apart(build, prompts, tmp_path):
    (tmp_path / "sub").mkdir()
    paths = [prompts(5), prompts(5, "sub/a.jsonl", "Sing of {}.")]
    _, _, rl = build(section(extra=tuple(extra(path, "rl", count=5) for path in paths)))
    assert rl["id"].is_unique().all() and rl["id"].str.contains("sub|a.jsonl:", literal=True).sum() == 5


def test_rl_takes_no_prompt_of_the_pairs_nor_one_twice(build, prompts):
    path = prompts(6)
    one = section(extra=(extra(path, "rl", count=4), extra(path, "rl", "other", count=4)))
    _, sft, _ = build(one)  # what is made of pairs depends on how many the files give, and not on what they hold
    asked = [{"prompt": prompt.upper()} for prompt in sft.filter(epoch=0, task="translate")["prompt"].head(5)]
    path.write_text(path.read_text() + "\n" + "\n".join(map(json.dumps, asked)))
    results, _, rl = build(one)
    made = rl.filter(pl.col("task").is_in(["creative", "other"]))
    assert made["prompt"].is_unique().all() and made["prompt"].str.starts_with("Write about").all()
    assert [file["drawn"] for file in results["files"]] == [4, 2]
    assert [file["prompt_taken"] for file in results["files"]] == [5, 9]
