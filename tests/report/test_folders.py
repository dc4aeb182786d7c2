import json

from in2x.report.folders import STAGES, Run, finished_fractions


def test_absent_stages_are_empty(tmp_path):
    run = Run.read({"sft": tmp_path / "nowhere"})
    assert [stage.name for stage in run] == list(STAGES)
    assert all(stage.status == "not run" and not stage.results and not stage.metrics() for stage in run)


def test_damaged_files_are_gaps(tmp_path):
    (tmp_path / "manifest.json").write_text('{"stage": "evaluate", "status": "running", "results": [1]}')
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": NaN}\nnull\n\n{"step": 2, "lo')
    (tmp_path / "scores.json").write_text('[{"system": "sft"}, 3')
    (tmp_path / "samples.json").write_text('[{"segment_id": "a"}, 3]')
    (tmp_path / "hypotheses.parquet").write_bytes(b"not parquet")
    stage = Run.read({"evaluate": tmp_path})["evaluate"]
    assert (stage.status, stage.results) == ("running", {})
    assert [row["step"] for row in stage.metrics()] == [1]
    assert stage.records("scores.json") == []
    assert stage.records("samples.json") == [{"segment_id": "a"}]
    assert finished_fractions(stage) == {}


def test_a_manifest_that_is_no_object_is_not_run(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps(["complete"]))
    assert Run.read({"sft": tmp_path})["sft"].status == "not run"


def test_finished_fractions(run_folder):
    fractions = finished_fractions(Run.read(run_folder)["translate"])
    assert fractions["base", "greedy"] == 0.6  # the first two of five are cut off
    assert fractions["merge", "mbr"] == 1.0
