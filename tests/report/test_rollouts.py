"""The browser of rollouts: bounded, escaped, without a script; and the alarms beside it."""

import json

import polars as pl
import pytest

from in2x.report.curves import curves, panels_for
from in2x.report.parts import rollouts as part
from in2x.report.parts.rollouts import browser, spaced

HOSTILE = '<script>alert("x")</script>'


def table(batch, prompts=6, text="訳", **changes):
    rows = [
        {"batch": batch, "prompt_id": f"p{p}", "source": f"Source {p} {HOSTILE}", "reference": "参照", "sample": g,
         "text": f"{text} {g}", "num_tokens": 3, "finished": g > 0, "reward": float(g), "advantage": g - 1.5,
         "informative": p > 0, "failed_gate": "empty" if g == 0 else None, "unscorable": None, "spread": float(p),
         "component.adequacy": g / 4, "component.unmeasured": None} | changes
        for p in range(prompts) for g in range(4)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"component.unmeasured": pl.Float64, "unscorable": pl.String})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rollouts").mkdir()

    def write(number, **changes):
        for batch in range(1, number + 1):
            table(batch, **changes).write_parquet(tmp_path / "rollouts" / f"batch-{batch:05}.parquet")
        return tmp_path

    return write


def test_steps_are_spread_over_the_run_and_fold_open_one_at_a_time(folder):
    page = browser(folder(30), 4)
    assert page.count('<details class="fold" name="rl-steps">') == 8
    assert "Steps 1–4: 6 groups, 5 of them with contrast, mean reward 1.500" in page and "Steps 117–120" in page
    assert "8 of 30 batches" in page


def test_groups_run_from_the_most_contrast_to_the_least_and_rollouts_from_the_best(folder):
    page = browser(folder(1), 1)
    places = [page.index(f"Source {p} ") for p in (5, 3, 2, 0)]
    assert places == sorted(places) and "Source 1 " not in page and "Step 1:" in page
    assert page.index("訳 3") < page.index("訳 0")
    assert "+1.50" in page and "empty" in page and "cut at the length limit" in page
    assert "spread 5.00 of a usual group" in page and "taught nothing, and was dropped" in page
    assert "unmeasured" not in page


def test_texts_are_escaped_and_cut(folder):
    page = browser(folder(1, text="あ" * 5000), 1)
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "あ" * 601 not in page and "characters)" in page


def test_the_page_stays_bounded(folder, monkeypatch):
    monkeypatch.setattr(part, "MAX_BYTES", 9_000)
    page = browser(folder(8), 1)
    assert "would have made the page too large" in page
    assert len(page.encode()) < 9_000 + 8 * 600


def test_what_could_not_be_rewarded_says_why(folder):
    page = browser(folder(1, unscorable="judge: timeout", reward=None), 1)
    assert "could not be rewarded: judge: timeout" in page


def test_no_rollouts_and_damaged_ones(folder, tmp_path):
    assert browser(None, 1) is None and browser(tmp_path, 1) is None
    root = folder(3)
    (root / "rollouts/batch-00002.parquet").write_bytes(b"PAR1 cut short")
    page = browser(root, 1)
    assert "Step 1:" in page and "Step 3:" in page and "Step 2:" not in page


def test_tables_of_older_runs_are_shown(folder):
    root = folder(1)
    table(1).drop("spread", "unscorable").write_parquet(root / "rollouts/batch-00001.parquet")
    assert "Source 0" in browser(root, 1)


def test_both_ends_are_among_the_spaced():
    assert spaced(range(10), 4) == [0, 3, 6, 9] and spaced(range(3), 4) == [0, 1, 2]


def test_the_report_has_the_browser_and_the_alarms(run_folder, page, folder):
    for file in (folder(2) / "rollouts").iterdir():
        (run_folder["rl"] / "rollouts").mkdir(exist_ok=True)
        file.rename(run_folder["rl"] / "rollouts" / file.name)
    log = run_folder["rl"] / "metrics.jsonl"
    lines = [json.dumps({"step": step, "reward": 1.0, "alarms": ["entropy: it fell <b>"]}) for step in (4, 8)]
    log.write_text("\n".join(lines))
    written = page(run_folder, "Tiny")
    assert written.count('name="rl-steps"') == 2
    assert "entropy 2 ×" in written and "it fell &lt;b&gt;" in written


def test_the_report_tells_what_could_not_be_scored_and_why(run_folder, page):
    reasons = [
        {"component": "qe", "reason": "no <b>", "completions": 3},
        {"component": "qe", "reason": "died", "completions": 4},
    ]
    lines = [{"step": 4, "reward": 1.0, "unscorable_reasons": reasons}, {"step": 8, "unscorable_reasons": reasons[:1]}]
    (run_folder["rl"] / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    written = page(run_folder, "Tiny")
    place = written.index("Completions that could not be scored")
    assert written.index("no &lt;b&gt;", place) < written.index("died", place)  # six of them before four


def test_gates_share_one_chart_and_what_is_new_has_its_own():
    keys = ["gate/copy", "gate/empty", "ratio_effective_fraction", "ratio_variance", "clip_low_fraction", "mismatch_kl",
            "spread/adequacy", "wrong_language/ja"]  # fmt: skip
    known, others = panels_for("rl", keys)
    by_title = {panel.title: panel.keys for panel in known}
    assert by_title["Failed a gate"] == ("gate/copy", "gate/empty")
    assert by_title["In another language"] == ("wrong_language/ja",)
    drawn = {key for keys in by_title.values() for key in keys}
    assert {"ratio_effective_fraction", "ratio_variance", "clip_low_fraction", "mismatch_kl"} <= drawn
    assert [panel.title for panel in others] == ["Spread: adequacy"]
    assert "empty" in curves("rl", [{"step": 1, "gate/copy": 0.1, "gate/empty": 0.2}])
