"""Scores of the challenge set, its command, and what it refuses."""

import json

import pytest

from in2x.artifacts import In2xError
from in2x.evaluation.bootstrap import paired_bootstrap
from in2x.evaluation.challenge import score_challenge, sources, statistics
from in2x.evaluation.challenge.command import challenge_command, read_hypotheses
from in2x.evaluation.challenge.items import CATEGORIES, REGISTERS, RegisterItem, items, load

REGISTER_ITEMS = load("register")
PASSAGES = load("literary")


def best():
    """The example of every source, as a perfect system would give it."""
    found = {}
    for _, item in items():
        if isinstance(item, RegisterItem):
            found |= {f"{item.id}.{register}": getattr(item, register) for register in REGISTERS}
        else:
            found[item.id] = item.example
    return found


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_perfect_system_scores_hundred_everywhere():
    result = score_challenge(best(), num_resamples=20)
    assert list(result.categories) == list(CATEGORIES)
    for score in [*result.categories.values(), *result.kinds.values()]:
        assert (score.accepted.value, score.accepted.low, score.accepted.high) == (100, 100, 100)
        assert score.trap.value == score.neither.value == 0 and score.points.value == 100
    assert result.categories["register"].num_translations == 3 * len(REGISTER_ITEMS)
    assert sum(score.num_translations for score in result.kinds.values()) == len(result.verdicts) == len(sources())


def test_rates_are_counted_by_hand():
    hypotheses = {key: text for key, text in best().items() if key.startswith("idiom")}
    idioms = load("idioms")
    for item in idioms[:45]:
        hypotheses[item.id] = item.trap_example
    for item in idioms[45:54]:
        hypotheses[item.id] = ""
    score = score_challenge(hypotheses, ["idioms"]).categories["idioms"]
    assert (score.accepted.value, score.trap.value, score.neither.value) == pytest.approx((70, 25, 5))
    assert score.accepted.low < 70 < score.accepted.high and score.accepted.low > 60 and score.accepted.high < 80


def test_the_registers_of_one_sentence_are_drawn_together():
    result = score_challenge({key: text for key, text in best().items() if "register" in key}, ["register"])
    counts = statistics(result.verdicts)
    assert counts.counts_NK.shape == (len(REGISTER_ITEMS), 2)
    assert (counts.counts_NK == 3).all()


def test_two_systems_are_compared_on_the_same_items():
    good = {key: text for key, text in best().items() if key.startswith("slang")}
    bad = good | {item.id: item.trap_example for item in load("slang")[:30]}
    verdicts = [score_challenge(each, ["slang"], num_resamples=10).verdicts for each in (good, bad)]
    comparison = paired_bootstrap(*map(statistics, verdicts), num_resamples=200)
    assert comparison.delta == pytest.approx(100 * 30 / len(load("slang"))) and comparison.p_value < 0.05


def test_statistics_refuse_what_they_cannot_count():
    with pytest.raises(ValueError, match="measure"):
        statistics([], "bleu")
    with pytest.raises(ValueError, match="no verdicts"):
        statistics([])


def test_missing_unknown_and_wrong_hypotheses_are_refused():
    hypotheses = {key: text for key, text in best().items() if key.startswith("slang")}
    del hypotheses["slang-003"], hypotheses["slang-007"]
    with pytest.raises(ValueError, match="2 of 116 ids have no hypothesis: slang-003, slang-007"):
        score_challenge(hypotheses, ["slang"])
    hypotheses |= {"slang-003": "あ", "slang-007": "あ", "slang-999": "あ"}
    with pytest.raises(ValueError, match="1 ids are not among the 116 to score: slang-999"):
        score_challenge(hypotheses, ["slang"])
    del hypotheses["slang-999"]
    with pytest.raises(ValueError, match="slang-003: expected a string, got NoneType"):
        score_challenge(hypotheses | {"slang-003": None}, ["slang"])
    with pytest.raises(ValueError, match="expected one of idioms, slang, register, literary"):
        score_challenge({}, ["idiom"])


def test_register_sources_say_the_register_and_the_scene():
    found = {source.id: source for source in sources(["register"])}
    item = REGISTER_ITEMS[0]
    assert "plain form" in found[f"{item.id}.plain"].instruction
    assert "desu/masu" in found[f"{item.id}.polite"].instruction
    assert item.scene in found[f"{item.id}.keigo"].instruction
    written = next(item for item in REGISTER_ITEMS if item.style == "written")
    assert "da/dearu" in found[f"{written.id}.plain"].instruction


def test_command_writes_sources_and_scores_what_comes_back(tmp_path, capsys):
    challenge_command(None, tmp_path / "sources.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "sources.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == len(sources()) and set(rows[0]) == {"id", "category", "kind", "instruction", "source"}
    challenge_command(None, tmp_path / "sources.tsv", ["literary"])
    first = (tmp_path / "sources.tsv").read_text(encoding="utf-8").splitlines()[0].split("\t")
    assert first == [PASSAGES[0].id, "Translate into natural Japanese.", PASSAGES[0].source]
    answers = [{"id": row["id"], "hypothesis": best()[row["id"]]} for row in rows]
    capsys.readouterr()
    challenge_command(write_jsonl(tmp_path / "answers.jsonl", answers), tmp_path / "result.json")
    shown = capsys.readouterr().out
    assert "idioms" in shown and "keigo" in shown and "100.0 [100.0, 100.0]" in shown
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert result["categories"]["idioms"]["accepted"]["value"] == 100
    assert len(result["verdicts"]) == len(rows) and result["data"]


def test_command_without_out_prints_json_alone_to_standard_output(tmp_path, capsys):
    lines = [f"{key}\t{text}" for key, text in best().items() if key.startswith("literary")]
    lines[0] = f"{PASSAGES[0].id}\t"
    path = tmp_path / "answers.tsv"
    path.write_text("\r\n".join(lines), encoding="utf-8")
    challenge_command(path, None, ["literary"])
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["verdicts"][0]["reason"] == "empty" and result["verdicts"][1]["outcome"] == "accepted"
    assert "challenge set" in captured.err and "1 hypotheses are empty" in captured.err
    challenge_command(None, None, ["literary"])
    assert json.loads(capsys.readouterr().out.splitlines()[0])["id"] == PASSAGES[0].id


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "expected a file ending in .jsonl, .txt or .tsv"),
        ("a.jsonl", b'{"id": "a"}\n', "a.jsonl:1: hypothesis: expected a string, got null"),
        ("a.jsonl", b'{"id": 3, "hypothesis": ""}\n', "a.jsonl:1: id: expected a string, got 3"),
        ("a.jsonl", b'\n{"id"\n', "a.jsonl:2: not valid JSON"),
        ("a.jsonl", b"[]\n", "a.jsonl:1: id: expected a string"),
        ("a.txt", b"slang-001 x\n", "a.txt:1: expected an id, a tab and a translation"),
        ("a.txt", b"slang-001\tx\nslang-001\ty\n", "a.txt:2: id slang-001 for the second time"),
        ("a.txt", b"slang-001\t\xff\n", "a.txt: not UTF-8"),
    ],
)
def test_files_that_cannot_be_read_are_named_with_the_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(In2xError, match=message):
        read_hypotheses(tmp_path / name)


def test_command_refuses_in_words(tmp_path):
    with pytest.raises(In2xError, match="no such file"):
        challenge_command(tmp_path / "none.txt", None)
    with pytest.raises(In2xError, match="--category poetry: expected one of"):
        challenge_command(None, None, ["poetry"])
    with pytest.raises(In2xError, match="expected a name ending in .jsonl"):
        challenge_command(None, tmp_path / "sources.csv")
    answers = write_jsonl(tmp_path / "a.jsonl", [{"id": "slang-001", "hypothesis": "あ"}])
    with pytest.raises(In2xError, match="115 of 116 ids have no hypothesis: slang-002.*writes the sources"):
        challenge_command(answers, None, ["slang"])
