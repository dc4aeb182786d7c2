"""The pretrain stage: phases of next-token prediction on mixtures of streams (arXiv 2508.14472, section on CPT).

The paper's three phases are knowledge (constant learning rate), long text (longer context), and annealing on chosen
data (linear decay). The optimizer's state is carried from phase to phase, unless a phase resets it. A run `from
scratch` also trains the tokenizer. Before the first phase and after every one: what `in2x.evaluation.retention`
measures on held-out text, and the model.
"""

import itertools
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from in2x import distributed
from in2x.artifacts import In2xError, atomic, read_json, write_json
from in2x.evaluation.retention import HeldOut, Sizes, measure
from in2x.model import rope
from in2x.model.isolation import refuse_leaks
from in2x.model.loading import load_model, load_tokenizer, make_model, save_model, stored_dtype
from in2x.model.provenance import refuse_contamination
from in2x.model.tokenizer import train_tokenizer
from in2x.model.vocabulary import extend_vocabulary
from in2x.sections import Phase, PretrainSection
from in2x.training.alignment import layer_number, with_contrastive
from in2x.training.groups import batches_with_groups, grouped_loss
from in2x.training.loop import Loop
from in2x.training.metrics import progress_bar
from in2x.training.phases import Data, load_data, make_held_out, make_mixture, pair_batches, sample, told_apart
from in2x.training.schedule import factor
from in2x.training.tables import read_table

BASE_COPY = "base-float32"


def run(section: PretrainSection, folder: Path, inputs: Mapping[str, Path]) -> dict:
    torch.manual_seed(section.seed)
    data = load_data(inputs["corpus"], folder / "streams", section.seed, section.lexicon)
    tokenizer, model, facts = _start(section, data, folder, inputs["corpus"])
    refuse_wrong_tokenizer(model, tokenizer, section.base)
    rope.refuse_too_long(model.config, section.phases)
    refuse_leaks(model)
    steps = [max(1, phase.tokens // section.step_tokens) for phase in section.phases]
    ends = list(itertools.accumulate(steps))
    held_out = make_held_out(data, tokenizer, section.seed)
    learning_rate = _learning_rates(section.phases, steps)
    loop = Loop(model, section, learning_rate, ends[-1], folder, tokenizer)
    phases_file = folder / "phases.json"
    done = read_json(phases_file) if phases_file.exists() else {"phases": [], "base_perplexity": None}
    if section.base and not phases_file.exists():
        found = _measured(loop, tokenizer, held_out, section)
        done |= {"base_perplexity": found.pop("perplexity"), "base_measures": found}
        write_json(phases_file, done)
    num_done = sum(end <= loop.step for end in ends)
    done["phases"] = done["phases"][:num_done]  # a kill may have come between the record and the weights
    with loop.signals():
        for number, (phase, num_steps, end) in enumerate(zip(section.phases, steps, ends, strict=True)):
            if phase.rope:
                rope.extend(loop.model, phase.rope, phase.context_tokens)
                tokenizer.model_max_length = max(tokenizer.model_max_length, phase.context_tokens)
            if number < len(done["phases"]):
                continue
            record = _run_phase(loop, phase, section, data, tokenizer, folder, end - num_steps, end)
            record["tokens"] = loop.tokens - sum(earlier["tokens"] for earlier in done["phases"])
            with loop.averaged() as model:
                save_model(model, tokenizer, folder / phase.name / "model")
            record["measures"] = _measured(loop, tokenizer, held_out, section)
            record["perplexity"] = record["measures"].pop("perplexity")
            _plot(loop, record)
            done["phases"].append(record)
            write_json(phases_file, done)
            loop.save()
    save_model(loop.model, tokenizer, folder / "model")
    distributed.on_main(lambda: [shutil.rmtree(own, ignore_errors=True) for own in (data.folder, folder / BASE_COPY)])
    return done | facts | {"num_parameters": sum(parameter.numel() for parameter in loop.model.parameters())}


def refuse_wrong_tokenizer(model, tokenizer, where: object = "the model") -> None:
    """Refuse a tokenizer whose ids the model has no embedding for, or one without what training needs.

    Raises:
        In2xError: with both sizes.
    """
    rows = model.get_input_embeddings().num_embeddings
    highest = max(tokenizer.get_vocab().values())
    if highest >= rows:
        raise In2xError(
            f"{where}: the tokenizer's ids go up to {highest:,}, and the model has {rows:,} embeddings: it is the "
            "tokenizer of another model; put the right tokenizer files into the folder"
        )
    for name in ("eos_token", "pad_token"):
        if getattr(tokenizer, name) is None:
            raise In2xError(f"{where}: the tokenizer has no {name}; set it (tokenizer.{name} = ...) and save it again")


def _start(section: PretrainSection, data: Data, folder: Path, corpus: Path):
    """Tokenizer, model and facts to begin with: loaded, extended, or made from scratch (the tokenizer is kept)."""
    if section.base:
        refuse_contamination(Path(section.base), corpus)
        base = _readable_base(section, folder)
        tokenizer, model = load_tokenizer(base), load_model(base)
        if not section.vocabulary:
            return tokenizer, model, {}
        refuse_wrong_tokenizer(model, tokenizer, section.base)
        tokenizer, fertility = _extended(model, tokenizer, section.vocabulary, data)
        return tokenizer, model, {"fertility": fertility}
    if not (folder / "tokenizer").exists():
        texts = itertools.chain(*(read_table(data.stream(language))["text"] for language in data.pair.split("-")))
        trained = train_tokenizer(texts, section.scratch.vocab_size, section.scratch.max_position_tokens)
        distributed.on_main(lambda: _save_tokenizer(trained, folder / "tokenizer"))
    tokenizer = load_tokenizer(folder / "tokenizer")
    return tokenizer, make_model(section.scratch, tokenizer), {}


def _readable_base(section: PretrainSection, folder: Path) -> str | Path:
    """The base; where its weights are parted, a float32 copy of one in half precision, made by the main process.

    Weights in float32 are mapped from their file, once for all processes of a machine; others each would convert.
    """
    if section.sharding == "none" or distributed.world_size() == 1 or stored_dtype(section.base) == "float32":
        return section.base
    copy = folder / BASE_COPY

    def make() -> None:
        if not copy.exists():
            save_model(load_model(section.base), load_tokenizer(section.base), copy)

    distributed.on_main(make)
    return copy


def _extended(model, tokenizer, settings, data: Data):
    """The tokenizer with new pieces, as many as are set, and what they save; the model gets rows for them."""
    hub, target = data.pair.split("-")
    texts = sample(data.stream(target), settings.max_documents, data.seed, "text")["text"].to_list()
    held_out = {hub: data.dev["source"].to_list(), target: data.dev["target"].to_list()}
    return extend_vocabulary(model, tokenizer, settings, texts, held_out)


def _save_tokenizer(tokenizer, folder: Path) -> None:
    with atomic(folder) as temporary:
        tokenizer.save_pretrained(temporary)


def _learning_rates(phases: tuple[Phase, ...], steps: list[int]):
    def learning_rate(step: int) -> float:
        for phase, num_steps in zip(phases, steps, strict=True):
            if step < num_steps:
                return phase.lr * factor(phase.schedule, step, num_steps, phase.warmup_fraction, phase.end_lr_fraction)
            step -= num_steps
        return 0.0

    return learning_rate


def _run_phase(loop: Loop, phase: Phase, section, data: Data, tokenizer, folder: Path, begin: int, end: int) -> dict:
    """Train one phase from wherever the loop stands; returns its record."""
    mixture, names = make_mixture(loop.model, phase, section, data, tokenizer, folder / phase.name)
    names = told_apart(names, mixture.weights)
    if phase.reset_optimizer and loop.step == begin:
        getattr(loop.optimizer, "optimizer", loop.optimizer).state.clear()
    parallel = pair_batches(phase, section, data, tokenizer) if phase.contrastive else None
    layer = layer_number(phase.contrastive.layer, _num_layers(loop.model)) if parallel else 0
    start, tokens_before = time.monotonic(), loop.tokens
    with progress_bar(f"pretrain/{phase.name}", end - begin, loop.step - begin) as bar:
        steps = mixture.steps(loop.step - begin, loop.data_position if loop.step > begin else None)
        for _, rows in zip(range(loop.step, end), steps, strict=False):
            num_loss_tokens = int(rows.loss_mask.sum())
            batches = list(batches_with_groups(rows, section.micro_batch_tokens))
            loss = grouped_loss(num_loss_tokens, names)
            if parallel:
                batches.append(parallel.batch(loop.step, phase.context_tokens))
                loss = with_contrastive(loss, phase.contrastive, layer)
            measured = loop.optimizer_step(batches, loss, ids=lambda rows=rows: rows.document_ids)
            loop.tokens += num_loss_tokens
            loop.data_position = mixture.position
            rate = (loop.tokens - tokens_before) / (time.monotonic() - start)
            bar.advance(note=f"loss {measured['loss']:.3f}  {rate:,.0f} tokens/s")
            loop.after_step(phase=phase.name, tokens=loop.tokens, tokens_per_second=rate, **measured)
    seconds = time.monotonic() - start
    return {
        "name": phase.name,
        "steps": end - begin,
        "context_tokens": phase.context_tokens,
        "schedule": phase.schedule,
        "lr": phase.lr,
        "mixture": mixture.weights,
        "documents": mixture.num_documents,
        "epochs": {name: round(number, 3) for name, number in mixture.epochs().items()},
        "seconds": seconds,
        "tokens_per_second": (loop.tokens - tokens_before) / seconds,
    }


def _num_layers(model) -> int:
    return model.config.get_text_config().num_hidden_layers


def _measured(loop: Loop, tokenizer, held_out: HeldOut, section: PretrainSection) -> dict:
    """What the model, as it would be saved, is worth; `seconds` is what measuring took."""
    contexts = [phase.context_tokens for phase in section.phases]
    longest = min(max(contexts), rope.positions(loop.model.config) or max(contexts))
    sizes = Sizes(min(contexts), longest, section.micro_batch_tokens)
    start = time.monotonic()
    with loop.averaged() as model:
        found = measure(model, tokenizer, held_out, section.measures, sizes)
    return found | {"seconds": time.monotonic() - start}


def _plot(loop: Loop, record: Mapping) -> None:
    if not loop.log:
        return
    values = {f"perplexity/{name}": value for name, value in record["perplexity"].items()}
    for kind in ("by_domain", "quality", "few_shot", "round_trip"):
        values |= {f"{kind}/{name}": value for name, value in record["measures"].get(kind, {}).items()}
    loop.log.plot(loop.step, **values)
