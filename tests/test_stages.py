import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from in2x import artifacts, stages
from in2x.artifacts import In2xError
from in2x.recipe import load
from in2x.stages import STAGES, Stage, fingerprints, run_stage

RECIPE = """
[corpus]
sources = [{ name = "mine", kind = "tsv", path = "mine.tsv" }]
[pretrain]
base = "models/base"
phases = [{ name = "one", tokens = 10_000, context_tokens = 64, lr = 1e-3, mixture = { en = 1 } }]
[instruct]
[sft]
[report]
"""
ALL = ["corpus", "pretrain", "instruct", "sft", "report"]


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    """A recipe whose stages append their names to `ran`, and note what their inputs and their folder held."""
    monkeypatch.chdir(tmp_path)
    Path("r.toml").write_text(RECIPE)
    Path("mine.tsv").write_text("a\tb\n")
    Path("models/base").mkdir(parents=True)
    Path("models/base/config.json").write_text("{}")
    found = SimpleNamespace(ran=[], inputs={}, held={}, crash=None)

    def module(name):
        def run(section, folder, inputs):
            found.ran.append(name)
            found.inputs[name] = dict(inputs)
            found.held[name] = sorted(file.name for file in folder.iterdir())
            (folder / "half.txt").write_text("half")
            if found.crash == name:
                raise RuntimeError("crashed")
            (folder / "whole.txt").write_text(name)
            return {"seed": section.seed}

        return SimpleNamespace(run=run)

    for name, stage in STAGES.items():
        monkeypatch.setitem(sys.modules, f"fake_{name}", module(name))
        monkeypatch.setitem(STAGES, name, Stage(f"fake_{name}", stage.inputs, stage.optional, stage.reads_unfinished))

    def run(*overrides, names=ALL):
        found.ran.clear()
        recipe = load("r.toml", overrides)
        return [run_stage(recipe, name) for name in names]

    found.run = run
    return found


def test_every_stage_reads_earlier_ones():
    names = list(STAGES)
    assert names[0] == "corpus" and names[-1] == "report"
    for place, (name, stage) in enumerate(STAGES.items()):
        assert set(stage.inputs + stage.optional) <= set(names[:place]), name
    assert set(STAGES["report"].optional) == set(names[:-1])


def test_stages_run_once_and_are_then_skipped(pipeline):
    first = pipeline.run("--sft.seed=4")
    assert pipeline.ran == ALL
    assert [outcome.skipped for outcome in first] == [False] * 5
    assert artifacts.results(Path("runs/r/sft")) == {"seed": 4}
    again = pipeline.run("--sft.seed=4")
    assert pipeline.ran == []
    assert [(outcome.name, outcome.skipped) for outcome in again] == [(name, True) for name in ALL]
    assert again[3].seconds == first[3].seconds and again[3].results == {"seed": 4}


def test_a_stage_gets_the_folders_that_it_reads(pipeline):
    pipeline.run()
    folder = Path("runs/r")
    assert pipeline.inputs["sft"] == {name: folder / name for name in ("corpus", "pretrain", "instruct")}
    assert pipeline.inputs["report"] == {name: folder / name for name in ALL[:-1]}  # those that the recipe has


def test_a_change_reruns_the_stage_and_what_depends_on_it(pipeline):
    pipeline.run()
    pipeline.run("--instruct.num_sft=10")
    assert pipeline.ran == ["instruct", "sft", "report"]
    assert pipeline.held["instruct"] == ["manifest.json"]  # what the other settings had left is cleared
    pipeline.run()
    assert pipeline.ran == ["instruct", "sft", "report"]


def test_settings_without_effect_rerun_nothing(pipeline):
    pipeline.run()
    pipeline.run("--sft.checkpoint_seconds=5", "--threads=1")
    assert pipeline.ran == []


def test_a_changed_source_reruns_everything(pipeline):
    pipeline.run()
    Path("mine.tsv").write_text("a\tc\n")
    pipeline.run()
    assert pipeline.ran == ALL


def test_a_changed_base_reruns_what_starts_from_it(pipeline):
    pipeline.run()
    Path("models/base/config.json").write_text('{"a": 1}')
    pipeline.run()
    assert pipeline.ran == ["pretrain", "instruct", "sft", "report"]


def test_the_same_file_under_another_time_changes_nothing(pipeline):
    pipeline.run()
    os.utime("mine.tsv", (1, 1))
    pipeline.run()
    assert pipeline.ran == []


def test_a_crash_is_continued_in_the_same_folder(pipeline):
    pipeline.crash = "sft"
    with pytest.raises(RuntimeError):
        pipeline.run()
    before = artifacts.manifest(Path("runs/r/sft"))
    assert before["status"] == "running" and before["seconds"] > 0
    artifacts.update_manifest(Path("runs/r/sft"), seconds=1000.0)
    pipeline.crash = None
    pipeline.run()
    assert pipeline.ran == ["sft", "report"]
    assert pipeline.held["sft"] == ["half.txt", "manifest.json"]
    after = artifacts.manifest(Path("runs/r/sft"))
    assert after["status"] == "complete" and after["seconds"] > 1000  # the time of both attempts


def test_a_damaged_table_is_named_with_the_stage_that_makes_it(pipeline, monkeypatch):
    def read(section, folder, inputs):
        pl.read_parquet(inputs["corpus"] / "pairs.parquet")

    pipeline.run(names=["corpus"])
    table = Path("runs/r/corpus/pairs.parquet")
    pl.DataFrame({"id": ["a"] * 100}).write_parquet(table)
    table.write_bytes(table.read_bytes()[:200])
    monkeypatch.setattr(sys.modules["fake_pretrain"], "run", read)
    with pytest.raises(In2xError, match=r"runs/r/corpus/pairs.parquet: cut short or damaged .* --from=corpus"):
        pipeline.run(names=["pretrain"])
    pl.DataFrame({"id": ["a"]}).write_parquet(table)
    monkeypatch.setattr(sys.modules["fake_pretrain"], "run", lambda *_: pl.read_parquet(table).select("source"))
    with pytest.raises(pl.exceptions.ColumnNotFoundError):  # a mistake of ours stays one
        pipeline.run(names=["pretrain"])


def test_a_crash_under_other_settings_is_cleared(pipeline):
    pipeline.crash = "sft"
    with pytest.raises(RuntimeError):
        pipeline.run()
    pipeline.crash = None
    pipeline.run("--sft.lr=1")
    assert pipeline.held["sft"] == ["manifest.json"]


def test_a_stage_waits_for_complete_inputs(pipeline):
    with pytest.raises(In2xError, match="instruct needs corpus, and runs/r/corpus has not been run"):
        pipeline.run(names=["instruct"])
    pipeline.crash = "pretrain"
    with pytest.raises(RuntimeError):
        pipeline.run()
    with pytest.raises(In2xError, match="instruct needs pretrain, and runs/r/pretrain was interrupted"):
        pipeline.run(names=["instruct"])
    with pytest.raises(In2xError, match="pretrain needs corpus, and runs/r/corpus was run under other settings"):
        pipeline.run("--corpus.seed=5", names=["pretrain"])
    assert pipeline.ran == []


def test_the_report_takes_the_stages_as_they_are(pipeline):
    pipeline.run(names=["report"])
    pipeline.run(names=["corpus", "report"])
    assert pipeline.ran == ["corpus", "report"]
    pipeline.run(names=["corpus", "report"])
    assert pipeline.ran == []
    stages.clear(load("r.toml"), ["corpus"])
    pipeline.run(names=["corpus", "report"])
    assert pipeline.ran == ["corpus", "report"]  # the corpus is the same, but its time is not


def test_a_cleared_stage_runs_again(pipeline):
    pipeline.run()
    stages.clear(load("r.toml"), ["sft", "report"])
    assert sorted(file.name for file in Path("runs/r").iterdir()) == ["corpus", "instruct", "pretrain"]
    pipeline.run()
    assert pipeline.ran == ["sft", "report"]


def test_every_setting_has_its_own_fingerprint(pipeline):
    prints = fingerprints(load("r.toml"))
    other = fingerprints(load("r.toml", ["--pretrain.phases.0.lr=2e-3"]))
    assert len(set(prints.values())) == 5
    assert [name for name in ALL if prints[name] != other[name]] == ["pretrain", "instruct", "sft"]


# --- the folder -----------------------------------------------------------------------------------------------


def test_files_of_others_are_never_cleared(pipeline):
    Path("runs/r/corpus").mkdir(parents=True)
    Path("runs/r/corpus/thesis.tex").write_text("")
    with pytest.raises(In2xError, match="runs/r/corpus: holds files, but no manifest"):
        pipeline.run()
    assert Path("runs/r/corpus/thesis.tex").exists()


def test_what_a_kill_left_half_moved_is_mended(pipeline):
    pipeline.crash = "corpus"
    with pytest.raises(RuntimeError):
        pipeline.run()
    folder = Path("runs/r/corpus")
    for name in (".checkpoint.123.old", ".checkpoint.123.tmp", ".kept.9.old", "kept"):
        (folder / name).mkdir()
    (folder / ".checkpoint.123.old/state.json").write_text("{}")
    pipeline.crash = None
    pipeline.run(names=["corpus"])
    assert pipeline.held["corpus"] == ["checkpoint", "half.txt", "kept", "manifest.json"]
    assert (folder / "checkpoint/state.json").exists()


def test_a_run_folder_belongs_to_one_process(tmp_path):
    busy = pytest.raises(In2xError, match=f"process {os.getpid()} is at work in this folder")
    run, other = tmp_path / "run", tmp_path / "other"
    with artifacts.claim(run), artifacts.claim(other), busy, artifacts.claim(run):
        pass
    with artifacts.claim(run):
        pass


def test_the_manifest_tells_the_threads_that_torch_used(pipeline):
    before = torch.get_num_threads()
    try:
        pipeline.run("--threads=2", names=["corpus"])
        assert artifacts.manifest(Path("runs/r/corpus"))["machine"]["num_threads"] == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can begin a new peak")
def test_peak_memory_is_of_the_stage_not_of_the_process(tmp_path):
    def peak(num_bytes):
        folder = tmp_path / str(num_bytes)
        artifacts.open_stage(folder, "corpus", "x", {}, {})
        with artifacts.timed(folder):
            np.ones(num_bytes, np.uint8).sum()
        return artifacts.manifest(folder)["peak_memory_bytes"]

    large, small = peak(300_000_000), peak(1)
    assert large - small > 200_000_000


def test_a_link_shows_the_newest_file(tmp_path):
    page, copy = tmp_path / "report.html", tmp_path / "copy.html"
    for text in ("one", "two"):
        with artifacts.atomic(page) as temporary:
            temporary.write_text(text)
        artifacts.link_or_copy(page, copy)
        assert copy.read_text() == text


def test_storage_problems_are_told_from_others():
    assert artifacts.storage_problem(OSError(28, "No space left on device")) == "no space is left on the disk"
    assert artifacts.storage_problem(PermissionError(13, "Permission denied")) == "permission denied"
    assert "no space" in artifacts.storage_problem(RuntimeError("I/O error: No space left on device (os error 28)"))
    assert artifacts.storage_problem(FileNotFoundError(2, "No such file")) is None
    assert artifacts.storage_problem(ValueError("x")) is None


def test_the_table_is_read_without_slow_imports():
    code = "import sys, in2x.stages; print([m for m in ('torch', 'polars', 'pydantic', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env=os.environ | {"PYTHONPATH": str(Path(stages.__file__).parents[1])})  # fmt: skip
    assert done.stdout.strip() == "[]"
