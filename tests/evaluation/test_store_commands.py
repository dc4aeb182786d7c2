"""The commands import and score: what they take, refuse, write and print."""

import json
import re

import pytest

from in2x.artifacts import In2xError
from in2x.evaluation import store
from in2x.evaluation.store_commands import import_command, score_command, show, system_files


@pytest.fixture
def texts(tmp_path):
    for name, text in {"src.en": "I like cats.\nBye.\n", "ref.ja": "猫が好きです。\nさようなら。\n",
                       "a.txt": "猫が好きです。\n\n", "b.txt": "犬が好き。\nじゃあ。\n"}.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    return tmp_path


def run_import(texts, out="s.jsonl", **options):
    options = {
        "pair": "en-ja",
        "systems": [f"{texts}/a.txt", f"B={texts}/b.txt"],
        "references": [texts / "ref.ja"],
    } | options
    import_command(texts / "src.en", texts / out, **options)


def test_import_and_score(texts, capsys):
    run_import(texts)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "segment store"
    assert printed[1].split() == ["pair", "system", "segments", "empty", "documents", "domains", "references"]
    assert [line.split() for line in printed[2:4]] == [
        ["en-ja", "a", "2", "1", "0", "0", "2"], ["en-ja", "B", "2", "0", "0", "0", "2"],
    ]  # fmt: skip
    score_command(texts / "s.jsonl", ["exact-match", "chrF2"], texts / "scored.parquet")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "en-ja"
    assert printed[1].split() == ["system", "exact-match↑", "chrF2↑"]
    assert printed[2].split()[:2] == ["a", "0.500"] and printed[3].split()[:2] == ["B", "0.000"]
    assert re.fullmatch(r"\d+\.\d\d", printed[2].split()[2])
    assert printed[5].startswith(
        "chrF2: n-grams of characters, recall counted twice; 2 of 2 segments; nrefs:1|case:mixed"
    )
    assert printed[6:] == [str(texts / "scored.parquet"), str(texts / "scored.summary.json")]
    assert store.metrics(store.read_store(texts / "scored.parquet")) == ["exact-match", "chrF2"]
    assert store.metrics(store.read_store(texts / "s.jsonl")) == []
    summary = json.loads((texts / "scored.summary.json").read_text())
    assert [(row["system"], row["metric"]) for row in summary[:2]] == [("a", "exact-match"), ("a", "chrF2")]
    assert summary[0]["value"] == 0.5 and "nrefs:1" in summary[1]["signature"]


def test_score_in_place(texts):
    run_import(texts)
    score_command(texts / "s.jsonl", ["exact-match"])
    assert store.metrics(store.read_store(texts / "s.jsonl")) == ["exact-match"]
    assert (texts / "s.summary.json").exists()
    with pytest.raises(In2xError, match="would lose the segments that not every system has; write to another file"):
        score_command(texts / "s.jsonl", ["exact-match"], texts / "s.jsonl", on_missing="intersect")
    score_command(texts / "s.jsonl", ["exact-match"], texts / "t.jsonl", on_missing="intersect")


def test_reference_system(texts):
    run_import(texts, reference_system="B", references=[])
    frame = store.read_store(texts / "s.jsonl")
    assert store.systems(frame) == ["a"]
    assert frame["references"].to_list() == [["犬が好き。"], ["じゃあ。"]]


def test_systems_that_lack_segments(texts, capsys):
    records = [{"id": f"w.en-ja.{n}", "system": system, "src": "s", "hyp": "h", "esa": 1}
               for n, system in [(0, "A"), (1, "A"), (0, "B")]]  # fmt: skip
    path = texts / "e.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    with pytest.raises(In2xError, match="B lacks 1 of 2: w.en-ja.1"):
        import_command(path, texts / "s.parquet")
    assert not (texts / "s.parquet").exists()
    import_command(path, texts / "s.parquet", on_missing="intersect")
    assert "1 of 2 segments dropped" in capsys.readouterr().err
    assert len(store.read_store(texts / "s.parquet")) == 2


@pytest.mark.parametrize(
    "options, message",
    [
        ({"pair": None}, "say which languages these are, such as --pair en-ja"),
        ({"scores": "x"}, "read as plain text, which takes no --scores; it takes --pair, --system"),
        ({"systems": []}, "no file of a system's hypotheses"),
        ({"out": "s.csv"}, "named .parquet, .jsonl or .jsonl.gz"),
    ],
)
def test_wrong_options(texts, options, message):
    with pytest.raises(In2xError, match=message):
        run_import(texts, **options)


def test_options_of_other_sources(texts):
    with pytest.raises(In2xError, match="is a folder, read as a run of this project, which takes no --pair"):
        import_command(texts, texts / "s.jsonl", pair="en-ja")
    (texts / "w.jsonl").write_text("{}")
    with pytest.raises(In2xError, match="read as WMT's JSON lines, which takes no --reference"):
        import_command(texts / "w.jsonl", texts / "s.jsonl", references=[texts / "ref.ja"])
    with pytest.raises(In2xError, match="no such file; did you mean 'src.en'"):
        import_command(texts / "src.eng", texts / "s.jsonl")


def test_names_of_systems(tmp_path):
    (tmp_path / "x=1.txt").write_text("a")
    found = system_files([f"{tmp_path}/x=1.txt", "B=y.txt.gz", "out/z.v1.txt.gz"])
    assert {name: path.name for name, path in found.items()} == {
        "x=1": "x=1.txt",
        "B": "y.txt.gz",
        "z.v1": "z.v1.txt.gz",
    }
    with pytest.raises(In2xError, match="two systems are called 'z': a/z.txt and b/z.txt; say --system OTHER=b/z.txt"):
        system_files(["a/z.txt", "b/z.txt"])


def test_plain_tables_are_complete_however_wide(capsys):
    show("title", ["名", *"abc"], [["x" * 200, "1", "[b]2[/b]", ""], ["名前", "1", "2", "3"]])
    title, header, first, second = capsys.readouterr().out.splitlines()
    assert title == "title"
    assert header.split() == ["名", "a", "b", "c"]
    assert first.startswith("x" * 200 + "  1  [b]2[/b]")
    assert second.split() == ["名前", "1", "2", "3"]
    assert header.index("a") == 201 and second.index("1") == 200  # a kana or kanji is two cells wide


def test_wide_tables_come_in_parts_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "39")
    show("[title]", ["system", *(f"metric{n}" for n in range(6))], [["A", "1.0", "[b]", *"3456"], ["B", *"-23456"]])
    printed = capsys.readouterr().out
    assert printed.count("[title]") == 3 and printed.count("system") == 3
    assert "[b]" in printed
    for n in range(6):
        assert printed.count(f"metric{n}") == 1
    assert all(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) <= 39 for line in printed.splitlines())
