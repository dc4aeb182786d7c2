"""The pretrain and sft stages on sixty pairs and a model of two layers."""

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from in2x.artifacts import In2xError, Interrupted
from in2x.model.loading import load_model, load_tokenizer, save_model
from in2x.sections import PretrainSection, SftSection
from in2x.training import early_stop, loop, pretrain, sft

FAST = {
    "few_shot_segments": 2, "few_shot_examples": [0, 1], "round_trip_segments": 1, "retrieval_segments": 5,
    "max_completion_tokens": 3, "num_documents": 2,
}  # fmt: skip
OFF = {"by_domain": False, "few_shot_segments": 0, "retrieval_segments": 0}
PHASE = {"name": "one", "tokens": 512, "context_tokens": 32, "lr": 1e-3, "mixture": {"en": 1, "pairs": 1}}


@pytest.fixture
def base(tmp_path, make_model, tokenizer):
    save_model(make_model(), tokenizer, tmp_path / "base")
    return tmp_path / "base"


def section(base, *phases, **more):
    settings = {"base": str(base), "step_tokens": 128, "micro_batch_tokens": 64, "measures": FAST, "log_steps": 1}
    return PretrainSection(phases=phases or [PHASE], **settings | more)


def run(base, corpus, folder, *phases, **more):
    folder.mkdir()
    return pretrain.run(section(base, *phases, **more), folder, {"corpus": corpus})


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_losses_are_logged_by_stream_and_language_and_measures_change_no_weight(base, corpus, tmp_path):
    found = run(base, corpus, tmp_path / "a")
    run(base, corpus, tmp_path / "b", measures=OFF)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    rows = lines(tmp_path / "a")
    assert len(rows) == 4
    names = {name for row in rows for name in row if name.startswith("loss/")}
    assert names == {"loss/en", "loss/pairs", "loss/language/en", "loss/language/en-ja", "loss/language/ja-en"}
    measured = found["phases"][0]["measures"]
    assert set(measured) == {
        "by_domain", "quality", "by_position", "few_shot", "round_trip", "retrieval", "seconds"
    }  # fmt: skip
    assert set(found["base_measures"]) == set(measured)
    assert set(found["phases"][0]["perplexity"]) == set(found["base_perplexity"]) == {"en", "ja", "pairs"}


TWO = [PHASE, PHASE | {"name": "two", "tokens": 256, "context_tokens": 64, "mixture": {"documents": 1}}]


def test_a_reset_optimizer_begins_anew_and_a_resumed_run_ends_the_same(base, corpus, tmp_path, monkeypatch):
    reset = [TWO[0], TWO[1] | {"reset_optimizer": True}]
    run(base, corpus, tmp_path / "carried", *TWO, measures=OFF)
    run(base, corpus, tmp_path / "reset", *reset, measures=OFF)
    assert not same(weights(tmp_path / "carried"), weights(tmp_path / "reset"))
    after_step = loop.Loop.after_step

    def stop(self, **values):
        after_step(self, **values)
        if self.step == 5:
            self.save()
            raise Interrupted("test")

    monkeypatch.setattr(loop.Loop, "after_step", stop)
    with pytest.raises(Interrupted):
        run(base, corpus, tmp_path / "resumed", *reset, measures=OFF)
    monkeypatch.undo()
    pretrain.run(section(base, *reset, measures=OFF), tmp_path / "resumed", {"corpus": corpus})
    assert same(weights(tmp_path / "reset"), weights(tmp_path / "resumed"))


@pytest.mark.parametrize(("dtype", "sharding", "copied"), [
    ("float16", "fsdp", True), ("float16", "none", False), ("float32", "fsdp", False),
])  # fmt: skip
def test_a_half_base_is_converted_once_where_weights_are_parted(
    base, tokenizer, tmp_path, monkeypatch, dtype, sharding, copied
):
    save_model(load_model(base), tokenizer, tmp_path / "stored", dtype)
    monkeypatch.setattr(pretrain.distributed, "world_size", lambda: 2)
    monkeypatch.setattr(pretrain.distributed, "on_main", lambda act: act())
    found = pretrain._readable_base(section(tmp_path / "stored", sharding=sharding), tmp_path)
    assert found == (tmp_path / "base-float32" if copied else str(tmp_path / "stored"))
    for name, tensor in load_file(f"{found}/model.safetensors").items():
        assert tensor.dtype == (torch.float32 if copied else getattr(torch, dtype)), name


def test_rope_contrastive_replay_caps_and_new_pieces_in_one_run(base, corpus, tmp_path):
    long = TWO[1] | {
        "context_tokens": 128, "rope": {"kind": "yarn"}, "mixture": {"switched": 1, "styled": 1}, "replay": 0.25,
        "max_epochs": 3, "contrastive": {"num_pairs": 4, "coefficient": 0.5},
    }  # fmt: skip
    found = run(base, corpus, tmp_path / "run", PHASE, long, vocabulary={"num_pieces": 3, "min_count": 2})
    again = load_model(tmp_path / "run" / "model")
    assert again.config.max_position_embeddings == 128
    assert again.config.rope_parameters["rope_type"] == "yarn" and again.config.rope_parameters["factor"] == 2.0
    assert load_model(tmp_path / "run" / "one" / "model").config.rope_parameters["rope_type"] == "default"
    tokenizer = load_tokenizer(tmp_path / "run" / "model")
    assert len(tokenizer) == 323 == again.get_input_embeddings().num_embeddings
    assert tokenizer.model_max_length == 128
    assert found["fertility"]["after"]["ja"] < found["fertility"]["before"]["ja"]
    two = found["phases"][1]
    assert two["mixture"] == pytest.approx({"switched": 0.375, "styled": 0.375, "en": 0.25})
    rows = lines(tmp_path / "run")
    assert all("contrastive" in row for row in rows if row["phase"] == "two")
    assert not any("contrastive" in row for row in rows if row["phase"] == "one")


def test_bad_input_is_refused_before_training(base, corpus, tmp_path, make_model, tokenizer):
    with pytest.raises(In2xError, match=r"phase 'one': context_tokens is 65, but the model has 64 positions.*rope"):
        run(base, corpus, tmp_path / "long", PHASE | {"context_tokens": 65})
    with pytest.raises(In2xError, match="the stream 'en:news' holds no text; take it out"):
        run(base, corpus, tmp_path / "empty", PHASE | {"mixture": {"en:news": 1}})
    with pytest.raises(In2xError, match=r"too small for the phase: 5,000 tokens are wanted, and 1 epochs"):
        run(base, corpus, tmp_path / "small", PHASE | {"tokens": 5000, "max_epochs": 1})
    save_model(make_model(vocab_size=300), tokenizer, tmp_path / "wrong")
    with pytest.raises(In2xError, match=r"ids go up to 319, and the model has 300 embeddings"):
        run(tmp_path / "wrong", corpus, tmp_path / "sizes")
    with pytest.raises(ValueError, match="mixture"):
        section(base, PHASE | {"mixture": {}})


# --- sft ------------------------------------------------------------------------------------------------------


@pytest.fixture
def inputs(base, corpus, tmp_path):
    save = {"pretrain": base.parent, "corpus": corpus, "instruct": tmp_path / "instruct"}
    (tmp_path / "model").symlink_to(base)
    save["instruct"].mkdir()
    rows = [
        (f"i{n}-{epoch}", epoch, task, f"Translate into Japanese:\nI live in {n}.", f"{n}に住んでいます。")
        for epoch in (0, 1) for n in range(12) for task in ("translate", "register")
    ]  # fmt: skip
    frame = pl.DataFrame(rows, schema=["id", "epoch", "task", "prompt", "response"], orient="row")
    frame = frame.with_columns(id=pl.col("id") + "/" + pl.col("task"))
    frame.write_parquet(save["instruct"] / "sft.parquet")
    return save


def sft_section(**more):
    settings = {"step_tokens": 256, "context_tokens": 64, "micro_batch_tokens": 128, "lr": 1e-3, "measures": OFF}
    return SftSection(**settings | more)


def run_sft(inputs, folder, **more):
    folder.mkdir()
    return sft.run(sft_section(**more), folder, inputs)


def test_losses_are_logged_by_task_and_noise_changes_the_result(inputs, tmp_path):
    found = run_sft(inputs, tmp_path / "plain", measures=FAST)
    run_sft(inputs, tmp_path / "noisy", neftune_alpha=5.0)
    assert {"loss/task/translate", "loss/task/register"} <= set(lines(tmp_path / "plain")[0])
    assert not same(weights(tmp_path / "plain"), weights(tmp_path / "noisy"))
    assert set(found["measures"]["few_shot"]) == {"en-ja", "ja-en"} and "retrieval" in found["measures"]
    assert found["num_left_out"] == 0


def test_conversations_and_single_turns_train_their_answers_alone(inputs, tokenizer, tmp_path):
    talk = [{"role": "user", "content": "Thank you!"}, {"role": "assistant", "content": "どうも！"}] * 2
    frame = pl.DataFrame({
        "id": ["a", "b"], "task": ["chat", "translate"], "prompt": ["", "What are you doing?"],
        "response": ["", "何してるの？"], "messages": [talk, None],
    })  # fmt: skip
    one, other = sft.instruction_documents(frame, tokenizer, ["chat", "translate"])
    assert tokenizer.decode(one.token_ids[one.loss_mask]) == "どうも！<|end|>どうも！<|end|>"
    assert tokenizer.decode(other.token_ids[other.loss_mask]) == "何してるの？<|end|>"
    assert (one.group, other.group, one.id, other.id) == (0, 1, "a", "b")


def test_epochs_are_those_of_the_table_one_after_the_other(inputs, tokenizer):
    frame = pl.read_parquet(inputs["instruct"] / "sft.parquet").reverse()
    documents = sft.instruction_documents(frame, tokenizer)
    lengths = [len(document.token_ids) for document in documents]
    steps, num_left_out = sft.plan_steps(frame, lengths, sft_section(), "sft.parquet")
    order = [documents[place].id.split("-")[1][0] for step in steps for row in step for place, _, _ in row]
    assert num_left_out == 0 and order == ["0"] * 24 + ["1"] * 24
    whole = [piece for step in steps for row in step for piece in row]
    assert sorted(whole) == [(place, 0, length) for place, length in enumerate(lengths)]


def test_early_stop_keeps_the_best_model(inputs, tmp_path, monkeypatch):
    scores = iter([1.0, 5.0, 4.0, 3.0, 9.0])
    kept = {}
    monkeypatch.setattr(
        early_stop, "translate_greedy", lambda model, *_, **__: kept.setdefault(len(kept), _copy(model))
    )
    monkeypatch.setattr(early_stop, "chrf_value", lambda *_: next(scores))
    found = run_sft(inputs, tmp_path / "sft", early_stop={"every_steps": 1, "patience": 2})
    assert found["best_step"] == 2 and found["best_dev_chrf"] == 5.0 and found["stopped_early"]
    assert found["num_steps"] == 4
    assert torch.equal(weights(tmp_path / "sft")["model.norm.weight"], kept[1])
    assert not torch.equal(kept[1], kept[3])
    measured = json.loads((tmp_path / "sft" / "early_stop.json").read_text())
    assert measured == [{"step": n + 1, "chrf": value} for n, value in enumerate([1.0, 5.0, 4.0, 3.0])]


def _copy(model):
    return model.model.norm.weight.detach().clone()


def test_early_stop_decides_by_what_was_measured_before(tmp_path):
    (tmp_path / "early_stop.json").write_text(json.dumps([{"step": n, "chrf": c} for n, c in ((2, 7), (4, 6), (6, 5))]))
    settings = SimpleNamespace(num_segments=1, patience=2)
    data = SimpleNamespace(dev=pl.DataFrame({"source": ["a"], "target": ["b"]}), pair="en-ja")

    def at(step):
        return early_stop.EarlyStopping(settings, SimpleNamespace(step=step), None, data, tmp_path)

    assert at(6).is_over() and not at(5).is_over() and not at(0).is_over()
    assert at(6).facts() == {"best_step": 2, "best_dev_chrf": 7, "stopped_early": True}
    data.dev = data.dev.clear()
    with pytest.raises(In2xError, match="num_dev"):
        at(0)


def test_instructions_that_do_not_fit_are_counted_and_none_at_all_is_an_error(inputs, tmp_path):
    with pytest.raises(In2xError, match=r"sft.parquet: no instructions.*48, of which 48 are longer.*context_tokens, 4"):
        run_sft(inputs, tmp_path / "short", context_tokens=4, step_tokens=8)
    assert np.isfinite(run_sft(inputs, tmp_path / "fits")["dev_loss"])
