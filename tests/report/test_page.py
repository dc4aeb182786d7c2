import json
import re
import tomllib
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from in2x.report import systems
from in2x.report.build import run
from in2x.report.folders import STAGES
from in2x.report.parts.environment import toml


class Outline(HTMLParser):
    """Collects the text, the tags and the attributes that could load something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags, self.loads = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [
            (tag, name, value) for name, value in attrs if name in ("src", "href", "srcset", "data", "action")
        ]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


def test_page_loads_nothing_and_runs_nothing(run_folder, page):
    written = page(run_folder, "Tiny")
    outline = Outline(written)
    assert not {"script", "iframe", "object", "embed", "link", "img"} & set(outline.tags)
    assert all(tag == "a" and value.startswith("#") for tag, name, value in outline.loads)
    style = written[written.index("<style>") : written.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert "default-src 'none'" in written


def test_links_lead_somewhere(run_folder, page):
    written = page(run_folder, "Tiny")
    targets = {value[1:] for _, _, value in Outline(written).loads}
    ids = re.findall(r' id="([^"]+)"', written)
    assert targets <= set(ids)
    assert len(ids) == len(set(ids))


def test_text_of_the_data_is_escaped(run_folder, page):
    written = page(run_folder, "<b>Title</b>")
    assert (
        "<script" not in written and "<b>Title" not in written and "<b>own" not in written and "<b>local" not in written
    )
    text = Outline(written).words
    assert text.count('<script>alert("x")</script>') >= 2  # a hypothesis and a rollout, as text
    assert "<b>Title</b>" in text


def test_all_parts_are_shown(run_folder, page):
    text = Outline(page(run_folder, "Tiny")).words
    assert "could not be shown" not in text
    assert "Not run" not in text and "not run " not in text.replace("not run again", "")


@pytest.mark.parametrize(
    "expected",
    [
        "222,188 English–Japanese pairs",
        "7.33 M tokens in 3 phases",
        "39,998 instructions",
        "RL (in2x) takes 400 steps over 12,800 rollouts",
        "BLEU · greedy 24.8 24.0–25.7 · base 1.7",  # 0.82 * 30.3 and 0.82 * 2.1
        "BLEU · MBR 25.7",
        "2 h 02 min",
        "selector 32.0 31.2–32.9",
        "reward 29.9",
        "< 0.001",
        "20,411 (83.2 %)",
        "CC-BY 2.0 FR",
        "2,210",
        "91.3 %",
        "linear-0.25 chosen",
        "40.0 %",
        "tok:ja-mecab-0.996-IPA",
        "4 h 36 min",
        "AMD EPYC 9R14, 2 cores, 8.00 GiB",
        "a1b2c3d4e5f6",
    ],
)
def test_values_are_shown(run_folder, page, expected):
    assert expected in Outline(page(run_folder, "Tiny")).words


def test_headlines_are_never_a_metric_that_took_part(run_folder, page):
    text = Outline(page(run_folder, "Tiny")).words
    assert "chrF2 · greedy" not in text and "chrF2 · MBR" not in text


def test_no_headline_without_an_independent_metric(run_folder, page):
    rows = json.loads((run_folder["evaluate"] / "scores.json").read_text())
    rows = [row | {"role": "selector"} if row["decoding"] == "mbr" else row for row in rows]
    (run_folder["evaluate"] / "scores.json").write_text(json.dumps(rows))
    text = Outline(page(run_folder, "Tiny")).words
    assert "BLEU · greedy" in text and "BLEU · MBR" not in text
    assert "No headline for MBR" in text


def test_japanese_is_marked_as_such(run_folder, page):
    written = page(run_folder, "Tiny")
    assert '<div lang="ja" class="prose">何してるの？</div>' in written
    assert '<div lang="en" class="prose">What are you doing?</div>' in written


def test_samples_are_limited(run_folder, page):
    def segments(written):
        return len(set(re.findall(r"tatoeba:(\d+)", written)))

    assert segments(page(run_folder, "Tiny")) == 20
    assert segments(page(run_folder, "Tiny", max_samples=3)) == 3


def test_simple_sentences_and_scores_by_difficulty_stand_apart(run_folder, page):
    text = Outline(page(run_folder, "Tiny")).words
    assert "Simple sentences" in text and "By difficulty of the source" in text
    assert "very simple 50 " in text and "difficult 300 " in text
    for name in ("easy_samples.json", "by_difficulty.json"):
        (run_folder["evaluate"] / name).unlink()
    text = Outline(page(run_folder, "Tiny")).words
    assert "Simple sentences" not in text and "By difficulty" not in text and "could not be shown" not in text


@pytest.mark.parametrize("kept", [(), *((name,) for name in STAGES)])
def test_missing_stages_are_tolerated(run_folder, page, kept):
    written = page({name: run_folder[name] for name in kept}, "Tiny")
    text = Outline(written).words
    assert "could not be shown" not in text
    assert text.count("not run ") >= len(STAGES) - len(kept) - 1


@pytest.mark.parametrize("name", STAGES)
def test_stages_without_results_are_tolerated(run_folder, page, name):
    manifest = run_folder[name] / "manifest.json"
    manifest.write_text(json.dumps({"stage": name, "status": "running", "results": {}}))
    for other in ("metrics.jsonl", "scores.json", "comparisons.json", "samples.json", "hypotheses.parquet"):
        (run_folder[name] / other).unlink(missing_ok=True)
    text = Outline(page(run_folder, "Tiny")).words
    assert "could not be shown" not in text
    assert "running" in text


def test_a_part_of_unknown_form_costs_only_itself(run_folder, page):
    manifest = json.loads((run_folder["merge"] / "manifest.json").read_text())
    manifest["results"] = {"candidates": [3]}
    (run_folder["merge"] / "manifest.json").write_text(json.dumps(manifest))
    text = Outline(page(run_folder, "Tiny")).words
    assert text.count("could not be shown") == 1
    assert "BLEU · greedy 24.8" in text


def test_run_writes_the_page_and_leaves_nothing_else(run_folder, tmp_path):
    section = SimpleNamespace(title="Tiny", max_samples=5)
    run(section, tmp_path / "report", run_folder)
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["report.html"]
    assert (tmp_path / "report" / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_lone_surrogates_do_not_stop_the_report(run_folder, tmp_path):
    path = run_folder["evaluate"] / "samples.json"
    path.write_text('[{"segment_id": "x", "source": "\\ud800", "hypotheses": {"base/greedy": "\\udfff"}}]')
    run(SimpleNamespace(title="Tiny", max_samples=5), tmp_path / "report", run_folder)
    assert (tmp_path / "report" / "report.html").exists()


def test_section_is_written_as_toml():
    section = {
        "seed": 1, "lr": 1e-06, "name": 'a "quoted"\nline', "base": None, "betas": [0.9, 0.95], "empty": [],
        "on": True, "mixture": {"en:knowledge": 0.5, "ja": 1.0},
        "phases": [{"name": "long", "select": {"keep": 0.5}}, {"name": "anneal"}],
    }  # fmt: skip
    written = tomllib.loads(toml("pretrain", section))
    assert written == {"pretrain": {key: value for key, value in section.items() if value is not None}}


def test_systems_are_in_the_order_of_the_pipeline():
    names = ["merge", "other", "sft", "pretrain/long", "pretrain/anneal", "base", "sft"]
    assert systems.ordered(names) == ["base", "pretrain/long", "pretrain/anneal", "sft", "merge", "other"]
    assert systems.final_system([{"system": name} for name in names]) == "merge"
    assert systems.split_name("pretrain/long/greedy") == ("pretrain/long", "greedy")
