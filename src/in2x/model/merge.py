"""The merge stage: checkpoints fused into one model, and the best fusion chosen on the development set.

Two methods. *Linear*: a weighted mean of two checkpoints (model soup: Wortsman et al., arXiv 2203.05482). *OBIM*
(Wang et al., arXiv 2502.12217; named by arXiv 2508.14472): of every checkpoint's change since a common base only the
most salient part is kept, and the checkpoints are merged in turn under mutually exclusive masks, so that no parameter
is a mean of two. As in the paper, what is not salient falls back to the base. Ours: the curvature in the saliency is
the empirical Fisher information of the whole model (the paper takes a layer's own), and the masks are per tensor.

A *state* is a mapping from parameter name to tensor; tied parameters appear once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl
import torch
from torch import nn

from in2x.artifacts import In2xError, read_json
from in2x.evaluation.metrics import chrf_value
from in2x.model.loading import load_model, load_tokenizer, save_model
from in2x.model.logprobs import cross_entropy_sum
from in2x.sections import MergeSection
from in2x.training.metrics import progress_bar
from in2x.training.packing import Document

State = dict[str, torch.Tensor]
NOT_MERGED = "rl (not merged)"


# --- states ---------------------------------------------------------------------------------------------------


def parameters_of(model: nn.Module) -> State:
    """A copy of the parameters, on the CPU."""
    return {name: parameter.detach().cpu().clone() for name, parameter in model.named_parameters()}


@torch.no_grad()
def set_parameters(model: nn.Module, state: State) -> None:
    parameters = dict(model.named_parameters())
    _check_alike([parameters, state])
    for name, parameter in parameters.items():
        parameter.copy_(state[name])


def linear(states: Sequence[State], weights: Sequence[float]) -> State:
    """Weighted mean of states: s_0 + sum_i w_i (s_i - s_0), which leaves equal states as they are to the last bit.

    Raises:
        ValueError: the weights do not sum to 1, or the states are not of one model.
    """
    if len(weights) != len(states) or abs(sum(weights) - 1) > 1e-6:
        raise ValueError(f"linear: expected {len(states)} weights that sum to 1, got {list(weights)}")
    _check_alike(states)
    first = states[0]
    changes = {name: sum(weight * (state[name] - first[name]) for state, weight in zip(states, weights, strict=True))
               for name in first}  # fmt: skip
    return {name: first[name] + changes[name] for name in first}


def saliency(base: State, model: State, fisher: State) -> State:
    """Rise of the loss if a parameter's change since the base were undone: F delta^2 / 2 (diagonal second order)."""
    _check_alike([base, model, fisher])
    return {name: 0.5 * fisher[name] * (model[name] - base[name]) ** 2 for name in base}


def obim(base: State, models: Sequence[State], saliencies: Sequence[State], density: float) -> State:
    """Merge models in turn: each brings its own value to the parameters that it claims; the others keep the base's.

    A model claims, in every tensor, up to `density` of all parameters: those of the highest saliency among the ones
    that it changed and no earlier model has claimed. Of equal saliencies the first in memory wins.
    """
    if not 0 < density <= 1:
        raise ValueError(f"obim: density must be in (0, 1], got {density}")
    _check_alike([base, *models, *saliencies])
    merged = {}
    for name, value in base.items():
        own = [state[name] for state in models]
        masks = exclusive_masks(value, own, [scores[name] for scores in saliencies], density)
        merged[name] = value.clone()
        for tensor, mask in zip(own, masks, strict=True):
            merged[name][mask] = tensor[mask]
    return merged


def exclusive_masks(base: torch.Tensor, models: Sequence[torch.Tensor], saliencies: Sequence[torch.Tensor],
                    density: float) -> list[torch.Tensor]:  # fmt: skip
    """What each model claims of one tensor (bool, the tensor's shape); no two masks overlap."""
    free = torch.ones_like(base, dtype=torch.bool)
    masks = []
    for tensor, scores in zip(models, saliencies, strict=True):
        eligible = (free & (tensor != base)).flatten()
        order = scores.flatten().masked_fill(~eligible, -1.0).argsort(descending=True, stable=True)
        claimed = torch.zeros_like(eligible)
        claimed[order[: round(density * base.numel())]] = True
        masks.append((claimed & eligible).view_as(base))
        free = free & ~masks[-1]
    return masks


def fisher_diagonal(model: nn.Module, batches: Iterable[dict[str, torch.Tensor]]) -> State:
    """Diagonal of the empirical Fisher information: the mean over batches of the squared gradient of -log p.

    Every batch is one sample: the square of a sum over several would mix in the products of different samples.
    """
    model.eval()
    names, parameters = zip(*model.named_parameters(), strict=True)
    sums, number = [torch.zeros_like(parameter) for parameter in parameters], 0
    for batch in batches:
        batch = {name: tensor.to(parameters[0].device) for name, tensor in batch.items()}
        gradients = torch.autograd.grad(cross_entropy_sum(model, batch), parameters, materialize_grads=True)
        for total, gradient in zip(sums, gradients, strict=True):
            total.addcmul_(gradient, gradient)
        number += 1
    if not number:
        raise ValueError("fisher_diagonal: no batches")
    return {name: (total / number).cpu() for name, total in zip(names, sums, strict=True)}


def _check_alike(states: Sequence[Mapping[str, torch.Tensor]]) -> None:
    shapes = [{name: tuple(tensor.shape) for name, tensor in state.items()} for state in states]
    for other in shapes[1:]:
        wrong = [name for name in shapes[0] | other if shapes[0].get(name) != other.get(name)]
        if wrong:
            name = wrong[0]
            raise ValueError(f"not one architecture: {name!r} has the shape {shapes[0].get(name)} in one state, "
                             f"{other.get(name)} in another")  # fmt: skip


# --- the stage ------------------------------------------------------------------------------------------------


def run(section: MergeSection, folder: Path, inputs: Mapping[str, Path], translate: Callable | None = None) -> dict:
    """Score every candidate by chrF2 of greedy translations of the development set; save the best merged one."""
    if translate is None:
        from in2x.decoding.translate import translate_greedy as translate
    from in2x.training.measures import measures_in_chat

    model, tokenizer = load_model(inputs["rl"] / "model"), load_tokenizer(inputs["rl"] / "model")
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    sources, references, target_language = _dev(inputs["corpus"], section)

    def dev_chrf(state: State) -> float:
        set_parameters(model, state)
        hypotheses = translate(model, tokenizer, sources, target_language, batch_size=section.batch_size,
                               max_completion_tokens=section.max_completion_tokens)  # fmt: skip
        return chrf_value(hypotheses, references)

    last = parameters_of(model)
    scored = [{"name": NOT_MERGED, "settings": {}, "dev_chrf": dev_chrf(last)}]
    best, best_score = None, float("-inf")
    number = {"linear": 2 * len(section.weights), "obim": len(section.densities)}
    with progress_bar("merge", sum(number[method] for method in section.methods)) as bar:
        for name, settings, state in _candidates(section, model, tokenizer, last, inputs):
            score = dev_chrf(state)
            scored.append({"name": name, "settings": settings, "dev_chrf": score})
            bar.advance(note=f"{name}: chrF2 {score:.2f}")
            if score > best_score:
                best, best_score, chosen = state, score, name
    set_parameters(model, best)
    save_model(model, tokenizer, folder / "model")
    measures = measures_in_chat(model, tokenizer, inputs["corpus"], section.measures, section.seed)
    return {"candidates": scored, "chosen": chosen, "measures": measures}


def snapshots(rl: Path) -> list[Path]:
    """The checkpoints that RL kept, oldest first; the last is its model."""
    folders = [path for path in (rl / "checkpoints").glob("*") if (path / "config.json").exists()]
    if len(folders) < 2:
        raise In2xError(f"{rl / 'checkpoints'}: merging needs two checkpoints of RL, found {len(folders)}; "
                        "set rl.keep_checkpoints to 2 or more and run RL again")  # fmt: skip
    return sorted(folders, key=lambda path: (len(path.name), path.name))  # step-50 stands before step-100


def _dev(corpus: Path, section: MergeSection) -> tuple[list[str], list[str], str]:
    """Sources, references and target language of the development set."""
    pairs = pl.read_parquet(corpus / "pairs.parquet").filter(split="dev").head(section.num_dev)
    pair = read_json(corpus / "manifest.json")["section"]["pair"]
    return pairs["source"].to_list(), pairs["target"].to_list(), pair.split("-")[1]


def _candidates(section: MergeSection, model, tokenizer, last: State, inputs) -> Iterator[tuple[str, dict, State]]:
    """Name, settings and state of each merged candidate."""
    sft = parameters_of(load_model(inputs["sft"] / "model"))
    previous = parameters_of(load_model(snapshots(inputs["rl"])[-2]))
    if "linear" in section.methods:
        for name, earlier in (("previous", previous), ("sft", sft)):
            for weight in section.weights:
                settings = {"last": 1 - weight, name: weight}
                yield f"linear {name} {weight:g}", settings, linear([last, earlier], [1 - weight, weight])
    if "obim" in section.methods:
        saliencies = []
        for state in (last, previous):
            set_parameters(model, state)
            fisher = fisher_diagonal(model, _calibration(section, tokenizer, inputs["instruct"]))
            saliencies.append(saliency(sft, state, fisher))
        for density in section.densities:
            settings = {"base": "sft", "models": "last, previous", "density": density}
            yield f"obim {density:g}", settings, obim(sft, [last, previous], saliencies, density)


def _calibration(section: MergeSection, tokenizer, instruct: Path) -> Iterator[dict[str, torch.Tensor]]:
    """Instructions with their responses, each a batch of its own."""
    from in2x.training.sft import instruction_documents

    frame = pl.read_parquet(instruct / "sft.parquet")
    frame = frame.sample(min(section.num_saliency_segments, len(frame)), seed=section.seed, shuffle=True)
    return map(_as_batch, instruction_documents(frame, tokenizer))


def _as_batch(document: Document) -> dict[str, torch.Tensor]:
    length = len(document.token_ids)
    return {
        "input_ids": torch.as_tensor(document.token_ids, dtype=torch.int64)[None],
        "position_ids": torch.arange(length)[None],
        "loss_mask": torch.as_tensor(document.loss_mask)[None],
    }
