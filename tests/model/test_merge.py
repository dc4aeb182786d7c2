import json

import polars as pl
import pytest
import torch

from in2x.artifacts import In2xError
from in2x.model import merge
from in2x.model.loading import load_model, load_tokenizer, save_model
from in2x.sections import MergeSection
from in2x.training.sft import instruction_documents


def state(*values):
    return {"w": torch.tensor(values, dtype=torch.float32)}


def test_linear_by_hand():
    merged = merge.linear([state(1.0, 4.0), state(3.0, 0.0)], [0.75, 0.25])
    assert merged["w"].tolist() == [1.5, 3.0]
    three = merge.linear([state(1.0), state(2.0), state(4.0)], [0.5, 0.25, 0.25])
    assert three["w"].item() == 2.0


def test_merging_a_model_with_itself_changes_no_bit(make_model):
    own = merge.parameters_of(make_model())
    other = merge.parameters_of(make_model(seed=1))
    ones = {name: torch.ones_like(tensor) for name, tensor in own.items()}
    for merged in (
        merge.linear([own, own], [0.7, 0.3]),
        merge.obim(own, [own, own], [ones, ones], 0.3),
        merge.obim(other, [own, own], [ones, ones], 0.5),  # every parameter is claimed, by one or the other
        merge.obim(other, [own], [ones], 1.0),
    ):
        assert all(torch.equal(merged[name], own[name]) for name in own)


@pytest.mark.parametrize("weights", [[0.5], [0.5, 0.6], [1.0, 1.0]])
def test_linear_refuses_weights_that_do_not_sum_to_one(weights):
    with pytest.raises(ValueError, match="sum to 1"):
        merge.linear([state(1.0), state(2.0)], weights)


def test_states_of_two_architectures_are_refused_by_name():
    with pytest.raises(ValueError, match=r"'w' has the shape \(1,\) in one state, \(2,\) in another"):
        merge.linear([state(1.0), state(1.0, 2.0)], [0.5, 0.5])
    with pytest.raises(ValueError, match="'v' has the shape None"):
        merge.linear([state(1.0), state(1.0) | {"v": torch.zeros(3)}], [0.5, 0.5])


def test_saliency_by_hand():
    found = merge.saliency(state(1.0, 1.0, 1.0), state(3.0, 0.0, 1.0), state(0.5, 4.0, 9.0))
    assert found["w"].tolist() == [1.0, 2.0, 0.0]  # F delta^2 / 2


def test_obim_by_hand():
    base = state(0.0, 0.0, 0.0, 0.0, 0.0)
    one, other = state(1.0, 2.0, 3.0, 4.0, 5.0), state(-1.0, -2.0, -3.0, -4.0, -5.0)
    saliencies = [state(0.9, 0.1, 0.8, 0.2, 0.3), state(0.9, 0.2, 0.8, 0.3, 0.1)]
    merged = merge.obim(base, [one, other], saliencies, 0.4)  # two of five parameters each
    assert merged["w"].tolist() == [1.0, -2.0, 3.0, -4.0, 0.0]  # the last one is claimed by none: the base's
    merged = merge.obim(base, [other, one], saliencies[::-1], 0.4)
    assert merged["w"].tolist() == [-1.0, 0.0, -3.0, 4.0, 5.0]  # who comes first has the first choice


def test_masks_exclude_one_another_and_unchanged_parameters():
    generator = torch.Generator().manual_seed(3)
    base = torch.randn(8, 5, generator=generator)
    models = [base + torch.randn(8, 5, generator=generator) for _ in range(3)]
    models[0][:7] = base[:7]  # the first model changed one row only, five parameters of forty
    scores = [torch.rand(8, 5, generator=generator) for _ in models]
    masks = merge.exclusive_masks(base, models, scores, 0.3)
    assert [int(mask.sum()) for mask in masks] == [5, 12, 12]
    assert torch.stack(masks).sum(dim=0).max() == 1
    left = scores[1][~masks[0] & ~masks[1]]
    assert scores[1][masks[1]].min() > left.max()


@pytest.mark.parametrize("density", [0.0, -0.1, 1.01])
def test_obim_refuses_a_density_outside_its_range(density):
    with pytest.raises(ValueError, match="density"):
        merge.obim(state(0.0), [state(1.0)], [state(1.0)], density)


def batch(ids, mask):
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.arange(len(ids))[None],
        "loss_mask": torch.tensor([mask], dtype=torch.bool),
    }


def test_fisher_is_the_mean_of_squared_gradients(make_model):
    model = make_model()
    batches = [batch([5, 6, 7, 8], [0, 0, 1, 1]), batch([9, 10, 11], [0, 1, 1])]
    found = merge.fisher_diagonal(model, batches)
    expected = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for one in batches:
        model.zero_grad()
        logprobs = model(one["input_ids"], use_cache=False).logits.log_softmax(-1)[0, :-1]
        chosen = logprobs.gather(1, one["input_ids"][0, 1:, None])[:, 0]
        (-chosen[one["loss_mask"][0, 1:]].sum()).backward()
        for name, parameter in model.named_parameters():
            expected[name] += parameter.grad**2 / 2
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])
    assert found["model.embed_tokens.weight"].max() > 0
    with pytest.raises(ValueError, match="no batches"):
        merge.fisher_diagonal(model, [])


# --- the stage --------------------------------------------------------------------------------------------


@pytest.fixture
def stages(tmp_path, make_model, tokenizer):
    """Folders of corpus, instruct, sft and rl; the checkpoints of RL lie at steps 9 and 10."""
    names = ("sft/model", "rl/checkpoints/step-9", "rl/checkpoints/step-10")
    models = {name: make_model(seed) for seed, name in enumerate(names)}
    models["rl/model"] = models["rl/checkpoints/step-10"]
    for path, model in models.items():
        save_model(model, tokenizer, tmp_path / path)
    for name in ("corpus", "instruct"):
        (tmp_path / name).mkdir()
    (tmp_path / "corpus/manifest.json").write_text(json.dumps({"section": {"pair": "en-ja"}}))
    rows = [("a", "train", "x", "y"), ("b", "dev", "Hello", "どうも"), ("c", "dev", "Bye", "さよなら")]
    pairs = pl.DataFrame(rows, schema=["id", "split", "source", "target"], orient="row")
    pairs = pairs.with_row_index("group").with_columns(domain=pl.lit("a"), origin=pl.lit("web"))
    pairs.write_parquet(tmp_path / "corpus/pairs.parquet")
    texts = pl.DataFrame(schema=dict.fromkeys(("id", "language", "text", "origin"), pl.String))
    texts.write_parquet(tmp_path / "corpus/text.parquet")
    instructions = pairs.filter(split="dev").select("id", prompt="source", response="target")
    instructions.write_parquet(tmp_path / "instruct/sft.parquet")
    return {name: tmp_path / name for name in ("corpus", "instruct", "sft", "rl")}, models


def run(stages, folder, best, section=None):
    """Run the stage with a translator that gives the references where `best(state)`, worse elsewhere."""
    calls = []

    def translate(model, tokenizer, sources, target_language, max_completion_tokens, batch_size):
        calls.append((sources, target_language, max_completion_tokens, batch_size))
        good = best(merge.parameters_of(model))
        return ["どうも", "さよなら" if good else "さ"][: len(sources)]

    section = section or MergeSection(weights=(0.25,), densities=(0.5,), num_saliency_segments=2)
    results = merge.run(section, folder, stages[0], translate)
    assert all(call == (["Hello", "Bye"][: section.num_dev], "ja", 64, 256) for call in calls)
    assert results["measures"]["retrieval"]["num_segments"] == 2
    return results


def test_stage_keeps_the_best_merged_candidate(stages, tmp_path):
    _, models = stages
    sft, previous, last = (merge.parameters_of(model) for model in list(models.values())[:3])
    wanted = merge.linear([last, previous], [0.75, 0.25])

    def is_wanted(found):
        return all(torch.equal(found[name], wanted[name]) for name in wanted)

    results = run(stages, tmp_path / "merge", is_wanted)
    assert [candidate["name"] for candidate in results["candidates"]] == [
        "rl (not merged)", "linear previous 0.25", "linear sft 0.25", "obim 0.5",
    ]  # fmt: skip
    scores = {candidate["name"]: candidate["dev_chrf"] for candidate in results["candidates"]}
    assert results["chosen"] == "linear previous 0.25"
    assert scores[results["chosen"]] == pytest.approx(100.0)
    assert scores["linear sft 0.25"] < 80
    assert results["candidates"][1]["settings"] == {"last": 0.75, "previous": 0.25}
    assert is_wanted(merge.parameters_of(load_model(tmp_path / "merge/model")))


def test_stage_does_not_choose_the_model_that_is_not_merged(stages, tmp_path):
    _, models = stages
    last = merge.parameters_of(models["rl/model"])
    results = run(stages, tmp_path / "merge", lambda found: all(torch.equal(found[name], last[name]) for name in last))
    assert max(results["candidates"], key=lambda candidate: candidate["dev_chrf"])["name"] == "rl (not merged)"
    assert results["chosen"] == "linear previous 0.25"  # of equal candidates the first


def test_stage_obim_takes_each_parameter_from_one_checkpoint(stages, tmp_path):
    inputs, models = stages
    sft, previous, last = (merge.parameters_of(model) for model in list(models.values())[:3])
    section = MergeSection(methods=("obim",), densities=(0.25,), num_saliency_segments=2)
    run(stages, tmp_path / "merge", lambda found: True, section)
    merged = merge.parameters_of(load_model(tmp_path / "merge/model"))
    name = "model.layers.0.mlp.up_proj.weight"
    shares = [(merged[name] == source[name]).float().mean().item() for source in (last, previous, sft)]
    assert shares == [0.25, 0.25, 0.5]
    model, tokenizer = load_model(inputs["rl"] / "model"), load_tokenizer(inputs["rl"] / "model")
    saliencies = []
    for source in (last, previous):
        merge.set_parameters(model, source)
        documents = instruction_documents(pl.read_parquet(inputs["instruct"] / "sft.parquet"), tokenizer)
        batches = [batch(document.token_ids.tolist(), document.loss_mask.tolist()) for document in documents]
        saliencies.append(merge.saliency(sft, source, merge.fisher_diagonal(model, batches)))
    expected = merge.obim(sft, [last, previous], saliencies, 0.25)
    assert all(torch.equal(merged[name], expected[name]) for name in expected)


def test_stage_uses_no_more_segments_than_it_is_told(stages, tmp_path, tokenizer):
    section = MergeSection(methods=("linear",), weights=(0.5,), num_dev=1, num_saliency_segments=1)
    run(stages, tmp_path / "merge", lambda found: True, section)
    assert len(list(merge._calibration(section, tokenizer, stages[0]["instruct"]))) == 1


def test_snapshots_are_in_step_order_and_two_are_needed(stages):
    inputs, _ = stages
    assert [path.name for path in merge.snapshots(inputs["rl"])] == ["step-9", "step-10"]
    (inputs["rl"] / "checkpoints/step-9/config.json").unlink()
    with pytest.raises(In2xError, match="found 1; set rl.keep_checkpoints"):
        merge.snapshots(inputs["rl"])
