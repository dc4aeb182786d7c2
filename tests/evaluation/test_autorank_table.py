"""The rank command: complete tables, JSON, groups, one's own systems, and no first without its probability."""

import json
import re
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from in2x.artifacts import In2xError
from in2x.evaluation import autorank_report
from in2x.evaluation.autorank_table import rank_command
from in2x.evaluation.autorank_tracks import known_tracks

METRICS = ["CometKiwi-XL", "GEMBA-ESA-CMDA", "GEMBA-ESA-GPT4.1", "MetricX-24-Hybrid-XL", "XCOMET-XL"]
LONG = "a-system-with-a-rather-long-name-[v2]"


def _rows(strengths: dict[str, float], pair="en-ja_JP") -> str:
    """Systems whose scores follow their strength, with documents that disagree a little; CometKiwi loves "fan"."""
    lines = []
    for system, strength in strengths.items():
        for document in range(6):
            wobble = ((document * 7 + len(system) * 3) % 5 - 2) / 4
            scores = {
                "CometKiwi-XL": [0.5 + (strength + wobble) / 50 + 0.2 * (system == "fan")],
                "GEMBA-ESA-CMDA": [70 + strength + 4 * wobble],
                "GEMBA-ESA-GPT4.1": [75 + strength - wobble],
                "MetricX-24-Hybrid-XL": [strength / 10 - 9],
                "XCOMET-XL": [0.4 + strength / 50],
            }
            row = {"system": system, "language_pair": pair, "domain": ["news", "social"][document % 2],
                   "document_id": f"d{document}", "metric_scores": scores}  # fmt: skip
            lines.append(json.dumps(row) + "\n")
    return "".join(lines)


@pytest.fixture
def scores(tmp_path):
    path = tmp_path / "scores.jsonl"
    path.write_text(_rows({LONG: 7.7, "b": 7.5, "fan": 4, "d": 2, "e": 0}))
    return path


def _table_rows(text: str, system: str) -> list[str]:
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.splitlines()]
    return [
        line for line in lines if line.split()[:1] != [] and line.split()[0].isdigit() and line.split()[1] == system
    ]


def _heads(text: str) -> list[str]:
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.splitlines()]
    return [head for line in lines if line.split()[:2] == ["rank", "system"] for head in line.split()]


def _run(scores, tmp_path, capsys, **options):
    out = tmp_path / "ranking.json"
    rank_command([scores], json_out=out, num_resamples=200, **options)
    return capsys.readouterr().out, json.loads(out.read_text())


def test_the_tables_are_complete_in_a_pipe(scores, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text, found = _run(scores, tmp_path, capsys)
    rows = _table_rows(text, LONG)
    assert len(rows) == 2
    assert min(map(len, rows)) > 100
    assert all(_heads(text).count(metric) == 2 for metric in METRICS)
    means = [f"{found['en-ja_JP'][LONG][metric]:.{3 if 'COMET' in metric.upper() else 1}f}" for metric in METRICS]
    assert rows[0].split()[-5:] == means
    assert "news: 3 documents are too few" in text


def test_the_first_carries_its_probability(scores, tmp_path, capsys):
    text, found = _run(scores, tmp_path, capsys)
    entry = found["en-ja_JP"][LONG]
    probability = f"{100 * entry['first_probability']:.1f} %"
    assert f"first of 5 in pool: {LONG} in {probability} of the resamples" in text
    assert 0.5 < entry["first_probability"] < 1
    ranking, conditions = _table_rows(text, LONG)
    assert f"{probability} {probability}".split() == ranking.split()[-9:-5]
    firsts = [view for view in entry["stability"]["without_metric"].values() if view["rank"] == 1]
    assert firsts
    firsts += [view for view in entry["stability"]["domains"].values() if view["rank"] == 1]
    assert conditions.count("1 (") == len(firsts)
    for view in firsts:
        assert f"1 ({100 * view['first_probability']:.1f} %)" in conditions


def test_the_json_has_the_published_layout_and_more(scores, tmp_path, capsys):
    text, found = _run(scores, tmp_path, capsys)
    assert list(found) == ["en-ja_JP"]
    assert list(found["en-ja_JP"]) == [LONG, "b", "fan", "d", "e"]
    entry = found["en-ja_JP"]["b"]
    assert list(entry)[:6] == ["autorank", *METRICS]
    assert entry["GEMBA-ESA-CMDA"] == pytest.approx(77.5, abs=2)
    assert (entry["rank"], entry["num_systems"], entry["own"], entry["num_missing_scores"]) == (2, 5, False, 0)
    assert f"pool {entry['pool']} of 5 systems, 6 documents, 6 segments" in text
    assert entry["rank_95"][0] <= entry["rank"] <= entry["rank_95"][1]
    sure = entry["stability"]
    assert (sure["num_resamples"], sure["seed"], list(sure["without_metric"])) == (200, 12345, METRICS)
    assert sure["autorank_95"][0] <= entry["autorank"] <= sure["autorank_95"][1]
    assert sure["domains"]["news"]["num_documents"] == 3
    assert (sure["pool_subsets"]["num_kept"], sure["pool_subsets"]["num_subsets"]) == (3, 2000)
    assert found["en-ja_JP"]["fan"]["stability"]["without_metric"]["CometKiwi-XL"]["rank"] == 3


def test_without_stability_it_says_so(scores, tmp_path, capsys):
    text, found = _run(scores, tmp_path, capsys, stability=False)
    assert "whether a rank would hold on other documents is not known" in text
    assert "P(first)" not in text
    assert len(_table_rows(text, LONG)) == 1
    entry = found["en-ja_JP"][LONG]
    assert "stability" not in entry
    assert "first_probability" not in entry
    assert entry["rank"] == 1


def test_missing_scores_are_counted(tmp_path, capsys):
    path = tmp_path / "scores.jsonl"
    lines = _rows({"a": 5, "b": 3, "c": 1}).splitlines()
    row = json.loads(lines[0])
    row["metric_scores"]["GEMBA-ESA-CMDA"] = [None]
    path.write_text("\n".join([json.dumps(row), *lines[1:]]))
    text, found = _run(path, tmp_path, capsys)
    assert "1 missing scores left out" in text
    assert [found["en-ja_JP"][system]["num_missing_scores"] for system in "abc"] == [1, 0, 0]


def test_wmt25s_own_pool_is_parted_into_tracks_and_other_pools_are_not():
    pool = namedtuple("Pool", "pair systems pool")
    groups = known_tracks(pool("en-ja_JP", ("In2x", "Shy", "GPT-4.1", "mine"), np.arange(4)), own={"mine"})
    assert {name: members.tolist() for name, members in groups.items()} == {"unconstrained": [0, 2], "constrained": [1]}
    assert known_tracks(pool("en-ja_JP", ("In2x", "Shy", "mine"), np.arange(3))) == {}
    assert known_tracks(pool("en-ja", ("In2x", "Shy"), np.arange(2))) == {}


def test_in2x_is_told_to_be_first_of_the_unconstrained_and_by_what_it_stands(capsys):
    scores = Path(__file__).parents[2].parent / "shared" / "data" / "wmt25" / "automatic_scores.en-ja_JP.jsonl.gz"
    if not scores.exists():
        pytest.skip(f"{scores} is not there")
    rank_command([scores], num_resamples=300)
    text = capsys.readouterr().out
    (line,) = [line for line in text.splitlines() if line.startswith("first of 23 in unconstrained: In2x in 7")]
    assert line.endswith("of the resamples (without CometKiwi-XL 3 of 23, 7 of 43 in pool)")


def test_a_chosen_group_has_ranks_of_its_own(scores, tmp_path, capsys):
    text, found = _run(scores, tmp_path, capsys, among=["d", "b", "fan"])
    assert "first of 3 in chosen: b in " in text
    assert found["en-ja_JP"]["d"]["among"]["chosen"]["rank"] == 3
    assert found["en-ja_JP"]["d"]["among"]["chosen"]["num_systems"] == 3
    assert found["en-ja_JP"]["e"]["among"] == {}
    with pytest.raises(In2xError, match="no system fam in the pool; did you mean fan"):
        _run(scores, tmp_path, capsys, among=["fam"])


@pytest.mark.parametrize("by_pair", [False, True])
def test_tracks_part_the_pool(scores, tmp_path, capsys, by_pair):
    tracks = {LONG: {"constrained": True}, "b": {"constrained": False}, "d": {"constrained": False}, "x": {}}
    path = tmp_path / "tracks.json"
    path.write_text(json.dumps({"en-ja_JP": tracks} if by_pair else tracks))
    text, found = _run(scores, tmp_path, capsys, tracks=path)
    assert "first of 2 in unconstrained: b in " in text
    assert f"first of 1 in constrained: {LONG} in 100.0 % of" in text
    assert found["en-ja_JP"]["d"]["among"]["unconstrained"]["rank"] == 2
    assert found["en-ja_JP"]["e"]["among"] == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "can't be read as JSON"),
        ("[]", "knows no system of the pool of en-ja_JP"),
        ('{"b": {"constrained": "no"}}', "b: expected an object with constrained: true or false"),
        ('{"B": {"constrained": true}}', "knows no system of the pool"),
    ],
)
def test_wrong_tracks_are_refused(scores, tmp_path, capsys, content, said):
    path = tmp_path / "tracks.json"
    path.write_text(content)
    with pytest.raises(In2xError, match=f"tracks.json: {said}"):
        _run(scores, tmp_path, capsys, tracks=path)


def test_ones_own_system_goes_into_the_frozen_pool(scores, tmp_path, capsys):
    _, before = _run(scores, tmp_path, capsys)
    own = tmp_path / "own.jsonl"
    own.write_text(_rows({"mine": 20}))
    text, found = _run(scores, tmp_path, capsys, insert=[own])
    mine = found["en-ja_JP"].pop("mine")
    assert found == before
    assert mine["own"]
    assert mine["autorank"] < 1
    assert (mine["rank"], mine["num_systems"], mine["pool"]) == (1, 5, before["en-ja_JP"]["b"]["pool"])
    assert "mine*: AutoRank " in text
    assert "0 of the pool's 5 ahead of it; inserted into the frozen pool" in text


def test_ones_own_system_can_be_ranked_as_wmt_would(scores, tmp_path, capsys):
    _, before = _run(scores, tmp_path, capsys)
    own = tmp_path / "own.jsonl"
    own.write_text(_rows({"mine": 20}))
    text, found = _run(scores, tmp_path, capsys, insert=[own], rescale=True)
    mine, last = found["en-ja_JP"]["mine"], found["en-ja_JP"]["e"]
    assert (mine["autorank"], mine["num_systems"], mine["own"]) == (1, 6, True)
    assert last["autorank"] == 6
    assert mine["pool"] != before["en-ja_JP"]["b"]["pool"]
    assert "it is part of the pool and moves the others' numbers, as in WMT25" in text


def test_pairs_are_ranked_apart_and_one_can_be_chosen(scores, tmp_path, capsys):
    scores.write_text(scores.read_text() + _rows({"a": 1, "b": 2}, pair="ja-zh_CN"))
    assert list(_run(scores, tmp_path, capsys)[1]) == ["en-ja_JP", "ja-zh_CN"]
    assert list(_run(scores, tmp_path, capsys, pair="ja-zh_CN")[1]) == ["ja-zh_CN"]
    assert list(_run(scores, tmp_path, capsys, pair="en-ja")[1]) == ["en-ja_JP"]
    with pytest.raises(In2xError, match="pair en: the files hold en-ja_JP, ja-zh_CN"):
        _run(scores, tmp_path, capsys, pair="en")


def test_a_metric_named_like_a_field_is_refused(tmp_path, capsys):
    path = tmp_path / "scores.jsonl"
    path.write_text(_rows({"a": 5, "b": 3}).replace("XCOMET-XL", "rank"))
    with pytest.raises(In2xError, match="a metric named rank can't be told from the field"):
        _run(path, tmp_path, capsys)


def test_one_resample_is_enough_for_valid_json(scores, tmp_path):
    out = tmp_path / "ranking.json"
    rank_command([scores], json_out=out, num_resamples=1)
    found = json.loads(out.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert found["en-ja_JP"]["b"]["stability"]["num_resamples"] == 1


def test_no_resamples_are_refused(scores):
    with pytest.raises(In2xError, match="resamples: expected at least 1, got 0; to do without, say --no-stability"):
        rank_command([scores], num_resamples=0)


def test_on_a_narrow_terminal_columns_go_into_further_tables(scores, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    text, _ = _run(scores, tmp_path, capsys)
    rows = _table_rows(text, LONG)
    assert len(rows) > 3
    assert max(map(len, rows)) <= 100
    assert all(_heads(text).count(metric) == 2 for metric in METRICS)


def test_defaults_are_the_same_everywhere():
    import inspect

    parameters = inspect.signature(rank_command).parameters
    assert parameters["num_resamples"].default == autorank_report.NUM_RESAMPLES
    assert parameters["seed"].default == autorank_report.SEED
