"""The host against real processes that speak the protocol, well and badly."""

import sys
from pathlib import Path

import polars as pl
import pytest

import in2x.evaluation.plugins
from in2x.artifacts import In2xError
from in2x.evaluation.plugins.command import plugin_command
from in2x.evaluation.plugins.host import Row, score_rows
from in2x.evaluation.store import read_store, write_store

PLUGINS = Path(in2x.evaluation.plugins.__file__).parent
WORKER = """
import sys
sys.path.insert(0, {plugins!r})
import worker
worker.take_standard_output()
print("loading, please wait")
calls = open(sys.argv[1], "a")

def score(rows):
    print(len(rows), file=calls, flush=True)
    {body}

worker.serve(score, needs_reference={needs_reference}, signature="length|v1")
"""
ROWS = [Row("one", "ichi", "いち"), Row("two", "ni", ""), Row("one", "ichi", "いち"), Row("three", "san", "さん")]


@pytest.fixture
def plugin(tmp_path):
    """Write a metric's script; the model's name is the file in which it notes the size of every batch."""

    def make(body="return [len(row['hypothesis']) for row in rows]", needs_reference=False):
        script = tmp_path / "metric.py"
        script.write_text(WORKER.format(plugins=str(PLUGINS), body=body, needs_reference=needs_reference))
        return {"metric": str(script), "python": Path(sys.executable), "model": str(tmp_path / "calls"),
                "cache": tmp_path / "cache.jsonl"}  # fmt: skip

    return make


def run(rows, metric, **options):
    return score_rows(metric, rows, **options)


def test_scores_come_back_in_order_and_equal_rows_are_scored_once(plugin, tmp_path):
    found = run(ROWS, **plugin())
    assert found.values == [4.0, 2.0, 4.0, 3.0] and found.signature == "length|v1"
    assert (found.num_new, found.num_cached, found.num_failed) == (3, 0, 0)
    assert (tmp_path / "calls").read_text() == "3\n"


def test_what_was_scored_is_not_scored_again_and_needs_no_process(plugin, tmp_path):
    options = plugin()
    first = run(ROWS[:2], **options)
    again = run(ROWS[:2], **options | {"python": Path("/nowhere/python")})
    assert again.values == first.values and again.signature == first.signature
    assert (again.num_new, again.num_cached) == (0, 2)
    more = run(ROWS, **options)
    assert (more.num_new, more.num_cached) == (1, 2)
    assert (tmp_path / "calls").read_text() == "2\n1\n"


def test_the_cache_survives_a_line_cut_short(plugin, tmp_path):
    options = plugin()
    run(ROWS, **options)
    with (tmp_path / "cache.jsonl").open("a") as stream:
        stream.write('{"abc')
    assert run(ROWS, **options).num_new == 0


def test_another_model_shares_no_scores(plugin, tmp_path):
    options = plugin()
    run(ROWS, **options)
    assert run(ROWS, **options | {"model": str(tmp_path / "other")}).num_new == 3


def test_a_batch_that_fails_is_asked_for_row_by_row_and_the_bad_row_has_no_score(plugin):
    body = "return [1 / (row['hypothesis'] != 'bad') for row in rows]"
    rows = [Row("s", f"h{n}", "") for n in range(20)] + [Row("s", "bad", "")]
    found = run(rows, **plugin(body))
    assert found.values == [1.0] * 20 + [None] and found.num_failed == 1


def test_too_many_failures_stop_with_the_error(plugin):
    with pytest.raises(In2xError, match="3 of the first 3 rows failed, the last with 'ZeroDivisionError"):
        run(ROWS, **plugin("return [1 / 0]"))


def test_not_a_number_is_no_score(plugin):
    rows = [Row("s", f"h{n}", "") for n in range(10)]
    found = run(rows, **plugin("return [float('nan') if row['hypothesis'] == 'h3' else 1.0 for row in rows]"))
    assert found.values[3] is None and found.values.count(None) == 1


def test_a_metric_that_reads_references_refuses_segments_without(plugin):
    with pytest.raises(In2xError, match="reads references, and some segments have none"):
        run(ROWS, **plugin(needs_reference=True))
    assert run([ROWS[0]], **plugin(needs_reference=True)).values == [4.0]


def test_a_process_that_dies_tells_its_last_words(plugin):
    body = "import os; print('out of memory', file=sys.stderr, flush=True); os._exit(9)"
    with pytest.raises(In2xError, match="ended with code 9; its last words:\n(?s:.*)out of memory"):
        run(ROWS, **plugin(body))


def test_wrong_counts_and_unknown_metrics_are_refused(plugin, tmp_path):
    with pytest.raises(In2xError, match="for 3 rows"):
        run(ROWS, **plugin("return [1.0]"))
    with pytest.raises(In2xError, match="there are comet, metricx"):
        run(ROWS, **plugin() | {"metric": "bleurt"})
    with pytest.raises(In2xError, match="can't be started"):
        run(ROWS, **plugin() | {"python": tmp_path / "no-python"})


def test_comet_without_its_package_says_what_to_install(tmp_path):
    with pytest.raises(In2xError, match="pip install unbabel-comet"):
        score_rows("comet", ROWS, python=Path(sys.executable), model="Unbabel/wmt22-comet-da", cache=tmp_path / "c")


FAKE_COMET = """
class Model:
    def requires_references(self): return {references}
    def predict(self, data, batch_size, gpus, progress_bar):
        assert batch_size == 16
        print("predicting")
        class Output: scores = [len(row["mt"]) + (100 if "ref" in row else 0) for row in data]
        return Output
def load_from_checkpoint(path):
    assert path.endswith("model.ckpt"), path
    return Model()
"""


@pytest.mark.parametrize("references", [True, False])
def test_comet_is_called_as_its_package_wants_it(tmp_path, monkeypatch, references):
    (tmp_path / "comet.py").write_text(FAKE_COMET.format(references=references))
    (tmp_path / "torch.py").write_text("class cuda:\n    is_available = staticmethod(lambda: False)\n")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.ckpt").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    rows = [ROWS[0], ROWS[3]]
    weights = str(tmp_path / "weights")
    found = score_rows("comet", rows, python=Path(sys.executable), model=weights, cache=tmp_path / "c")
    assert found.values == ([104.0, 103.0] if references else [4.0, 3.0])


def test_comet_weights_that_are_not_there_are_named(tmp_path, monkeypatch):
    (tmp_path / "comet.py").write_text("def load_from_checkpoint(path): raise OSError('no network')\n"
                                       "def download_model(name): raise OSError('no network')\n")  # fmt: skip
    (tmp_path / "torch.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(In2xError, match="weights of Unbabel/x could not be loaded .*no network.*give the checkpoint"):
        score_rows("comet", ROWS, python=Path(sys.executable), model="Unbabel/x", cache=tmp_path / "c")


def test_a_store_is_scored_and_other_systems_keep_what_they_have(plugin, tmp_path):
    rows = [
        {"pair": "en-ja", "domain": None, "document": None, "segment": f"s{n}", "system": system, "source": "a",
         "hypothesis": system * n, "references": []}
        for system in ("x", "yy") for n in range(3)
    ]  # fmt: skip
    text = pl.String
    frame = pl.DataFrame(rows, schema_overrides={"domain": text, "document": text, "references": pl.List(text)})
    store, out = tmp_path / "store.parquet", tmp_path / "scored.parquet"
    write_store(frame, store)
    options = plugin()
    plugin_command(store, out, options.pop("metric"), name="length", systems=["yy"], **options)
    assert read_store(out)["score.length"].to_list() == [None, None, None, 0, 2, 4]
    again = plugin()
    plugin_command(out, out, again.pop("metric"), name="length", systems=["x"], **again)
    assert read_store(out)["score.length"].to_list() == [0, 1, 2, 0, 2, 4]
    with pytest.raises(In2xError, match="no system 'z'; there are x, yy"):
        plugin_command(store, out, "comet", python=Path("p"), model="m", systems=["z"])
