import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors import safe_open

import in2x
from in2x import artifacts
from in2x.artifacts import In2xError, Interrupted
from in2x.cli import main, split_overrides
from in2x.stages import STAGES, Stage

RECIPE = """
[corpus]
sources = [{ name = "mine", kind = "tsv", path = "r.toml" }]
[pretrain]
scratch = { vocab_size = 500 }
phases = [{ name = "one", tokens = 10_000, context_tokens = 64, lr = 1e-3, mixture = { en = 1 } }]
[instruct]
[report]
"""


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    """A recipe of four stages that do nothing, or raise what `errors` has for them."""
    monkeypatch.chdir(tmp_path)
    Path("r.toml").write_text(RECIPE)
    found = SimpleNamespace(ran=[], errors={})

    def module(name):
        def run(section, folder, inputs):
            found.ran.append(name)
            if name in found.errors:
                raise found.errors[name]
            if name == "report":
                (folder / "report.html").write_text("<p>")
            return {"num_rows": 1234, "table": {}, "loss": 0.123456, "best": "x", "more": 5}

        return SimpleNamespace(run=run)

    for name, stage in STAGES.items():
        monkeypatch.setitem(sys.modules, f"fake_{name}", module(name))
        monkeypatch.setitem(STAGES, name, Stage(f"fake_{name}", stage.inputs, stage.optional, stage.reads_unfinished))
    return found


def in_a_process(*arguments):
    environment = os.environ | {"PYTHONPATH": str(Path(in2x.__file__).parents[1])}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["check", "r.toml"]])
def test_the_command_line_answers_without_slow_imports(pipeline, arguments):
    slow = ("torch", "transformers", "polars", "tensorboard", "scipy")
    code = f"import sys, in2x.cli; in2x.cli.main({arguments}); print([name for name in {slow} if name in sys.modules])"
    assert in_a_process("-c", code).stdout.splitlines()[-1] == "[]"


def test_python_m_is_the_same_command(pipeline):
    done = in_a_process("-m", "in2x", "check", "r.toml", "--rl.lr=1")
    assert done.returncode == 2
    assert done.stderr == "--rl.lr=1: the recipe has no [rl] table to override\n"


def test_run_prints_a_line_for_each_stage_and_the_page(pipeline, capsys):
    assert main(["run", "r.toml", "--seed", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["corpus", "pretrain", "instruct", "report", "runs/r/report.html"]
    assert lines[0].endswith(" s, num_rows 1,234, loss 0.1235, best x")
    assert Path("runs/r/report.html").read_text() == "<p>"
    resolved = json.loads(Path("runs/r/recipe.resolved.json").read_text())
    assert resolved["instruct"]["seed"] == 5 and "sft" not in resolved
    assert main(["run", "r.toml", "--seed=5"]) == 0
    assert "pretrain: unchanged, skipped (0.0 s when it ran)" in capsys.readouterr().out


def test_a_stage_is_a_command_of_its_own(pipeline):
    assert main(["corpus", "r.toml"]) == 0
    assert pipeline.ran == ["corpus"]
    assert main(["instruct", "r.toml"]) == 1  # pretrain is missing
    assert main(["sft", "r.toml"]) == 2  # not in the recipe


def test_from_and_until(pipeline, capsys):
    assert main(["run", "r.toml", "--until", "pretrain"]) == 0
    assert pipeline.ran == ["corpus", "pretrain"]
    assert main(["run", "r.toml", "--from", "pretrain"]) == 0
    assert pipeline.ran[2:] == ["pretrain", "instruct", "report"]
    assert main(["run", "r.toml", "--from=pretrain", "--until=pretrain"]) == 0
    assert pipeline.ran[5:] == ["pretrain"]
    assert main(["run", "r.toml", "--from=pretrain", "--until=corpus"]) == 2
    assert main(["run", "r.toml", "--from=sft"]) == 2
    assert main(["run", "r.toml", "--from=nothing"]) == 2
    assert len(pipeline.ran) == 6


def test_overrides_are_parted_from_options():
    words = "run --rl.lr=1 r.toml --until sft --seed 3 --a.b -1 --dtype=float16 --from=rl"
    assert split_overrides(words.split()) == (
        ["run", "r.toml", "--until", "sft", "--dtype=float16", "--from=rl"],
        ["--rl.lr=1", "--seed=3", "--a.b=-1"],
    )


def test_a_wrong_recipe_exits_with_2_and_says_all(pipeline, capsys):
    assert main(["run", "--corpus.num_devv=1", "r.toml", "--instruct.num_rl=x"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "--corpus.num_devv=1: unknown key; did you mean 'corpus.num_dev'?",
        "--instruct.num_rl=x: expected a whole number, got 'x'",
    ]
    assert not Path("runs").exists()


def test_an_error_that_can_be_mended_is_a_message(pipeline, capsys):
    pipeline.errors["pretrain"] = In2xError("the corpus is empty")
    assert main(["run", "r.toml"]) == 1
    assert capsys.readouterr().err == "the corpus is empty\n"
    assert pipeline.ran == ["corpus", "pretrain"]
    assert artifacts.manifest(Path("runs/r/pretrain"))["status"] == "running"


def test_a_bug_is_a_traceback(pipeline):
    pipeline.errors["corpus"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        main(["run", "r.toml"])


@pytest.mark.parametrize("arguments", [[], ["--from=pretrain"]])
def test_an_interruption_exits_with_130(pipeline, capsys, arguments):
    if arguments:
        main(["run", "r.toml", "--until=corpus"])
    pipeline.errors["pretrain"] = Interrupted("stopped after step 3: run the same command again to continue")
    assert main(["run", "r.toml", *arguments]) == 130
    error = capsys.readouterr().err
    assert error.startswith("stopped after step 3")
    assert ("without --from pretrain" in error) == bool(arguments)  # which would clear what was saved
    pipeline.errors["pretrain"] = KeyboardInterrupt()
    assert main(["run", "r.toml", *arguments]) == 130
    error = capsys.readouterr().err
    assert error.startswith("interrupted; run it again")
    assert ("without --from pretrain" in error) == bool(arguments)
    pipeline.errors.clear()
    assert main(["run", "r.toml"]) == 0


def test_a_full_disk_is_a_message_and_what_was_complete_is_kept(pipeline, capsys):
    pipeline.errors["pretrain"] = OSError(28, "No space left on device", "runs/r/pretrain/model")
    assert main(["run", "r.toml"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("runs/r/pretrain/model: no space is left on the disk. What was complete is kept")
    pipeline.errors.clear()
    assert main(["run", "r.toml"]) == 0
    assert pipeline.ran == ["corpus", "pretrain", "pretrain", "instruct", "report"]


@pytest.mark.parametrize("folder", ["r.toml", "r.toml/run"])
def test_a_file_in_the_way_is_a_message(pipeline, capsys, folder):
    assert main(["run", "r.toml", f"--folder={folder}"]) == 1
    assert capsys.readouterr().err.startswith(f"{folder}: a file is in the way of a folder")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_a_message(pipeline, capsys):
    Path("locked").mkdir(mode=0o500)
    assert main(["run", "r.toml", "--folder=locked/run"]) == 1
    assert "locked/run: permission denied" in capsys.readouterr().err


def test_two_runs_in_one_folder_are_refused(pipeline, capsys):
    with artifacts.claim(Path("runs/r")):
        assert main(["run", "r.toml"]) == 1
    assert "is at work in this folder" in capsys.readouterr().err
    assert pipeline.ran == []


def test_check_tells_what_will_be_done(pipeline, capsys):
    main(["run", "r.toml", "--until=corpus"])
    capsys.readouterr()
    assert main(["check", "r.toml", "--pretrain.phases.0.tokens=1000"]) == 0
    out = capsys.readouterr().out
    assert "r: corpus, pretrain, instruct, report fit together" in out
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert rows["corpus"].endswith("unchanged, will be skipped")
    assert "1,000 tokens, 1 step, 1 phase" in rows["pretrain"] and rows["pretrain"].endswith("to run")
    assert "note: pretrain: phase 'one' has 1,000 tokens, a step 8,192" in out
    assert pipeline.ran == ["corpus"]


# --- export ---------------------------------------------------------------------------------------------------


def test_export_writes_the_weights_in_another_type(make_model, tokenizer, tmp_path, capsys):
    from in2x.model.loading import load_model, save_model

    model = make_model()
    save_model(model, tokenizer, tmp_path / "model")
    assert main(["export", str(tmp_path / "model"), str(tmp_path / "half"), "--dtype", "float16"]) == 0
    with safe_open(tmp_path / "half/model.safetensors", "np") as tensors:
        names = tensors.keys()
        assert {tensors.get_slice(name).get_dtype() for name in names} == {"F16"}
        assert "lm_head.weight" not in names  # tied to the embeddings: not written twice
    assert json.loads((tmp_path / "half/config.json").read_text())["dtype"] == "float16"
    weights = load_model(tmp_path / "half").state_dict()
    for name, weight in model.state_dict().items():
        assert (weights[name] - weight).abs().max() < 1e-3, name  # float16 keeps 11 bits, and weights are below 1
    assert main(["export", str(tmp_path / "model"), str(tmp_path / "half")]) == 0  # over an older export


def test_export_refuses_what_is_no_model(tmp_path, capsys):
    (tmp_path / "papers").mkdir()
    assert main(["export", str(tmp_path / "papers"), str(tmp_path / "out")]) == 1
    assert "papers: no model is there" in capsys.readouterr().err
    (tmp_path / "papers/thesis.tex").write_text("")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    assert main(["export", str(tmp_path / "model"), str(tmp_path / "papers")]) == 1
    assert "holds other files than a model" in capsys.readouterr().err
    assert main(["export", "a", "b", "--rl.lr=1"]) == 2
