"""The translate stage: the test set through the model of every stage, greedy; and through the last one by MBR.

MBR draws samples and chooses among them (`in2x.decoding.selection`), against each other or another model's samples.
A base model is prompted as its training documents begin, the source on a line of its own; from SFT on, models are
asked in their chat template. Writes hypotheses.parquet (in2x.records.HYPOTHESES).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from in2x import distributed
from in2x.artifacts import In2xError, read_json, write_parquet
from in2x.decoding.generate import generate
from in2x.decoding.selection import Reconstruct, choose_all
from in2x.evaluation.metrics import chrf_value
from in2x.evaluation.reconstruction import load_reconstructor
from in2x.instruct.prompts import translation_prompt
from in2x.model.loading import load_model, load_tokenizer, on_device
from in2x.model.prompts import chat_prompts, chat_stops, line_prompts, line_stops
from in2x.records import HYPOTHESES, Completion
from in2x.sections import TranslateSection
from in2x.training.metrics import progress_bar


class System(NamedTuple):
    """A model and how it is asked: "chat", or "line" for a base model."""

    name: str
    model: Path | str
    style: str


def run(section: TranslateSection, folder: Path, inputs: Mapping[str, Path]) -> dict:
    test, languages = held_out_segments(inputs["corpus"], "test", section.num_segments)
    systems = list(_systems(inputs))
    parts = []
    for number, system in enumerate(systems):
        decodings = ("greedy", "mbr") if number == len(systems) - 1 else ("greedy",)
        for decoding in decodings:
            part = folder / "parts" / f"{system.name.replace('/', '.')}.{decoding}.parquet"
            if not part.exists():
                frame = _translate(section, test, languages, systems, system, decoding)
                write_parquet(frame, part)
            parts.append(pl.read_parquet(part))
    hypotheses = pl.concat(parts)
    write_parquet(hypotheses.select(HYPOTHESES), folder / "hypotheses.parquet")
    seconds = hypotheses.group_by("system", "decoding", maintain_order=True).agg(pl.col("seconds").first())
    return {
        "num_segments": len(test),
        "target_language": languages[1],
        "seconds": {f"{row['system']}/{row['decoding']}": row["seconds"] for row in seconds.to_dicts()},
    }


def translate(
    model,
    tokenizer,
    sources: list[str],
    target_language: str,
    *,
    style: str = "chat",
    max_completion_tokens: int = 64,
    num_samples: int = 1,
    temperature: float = 0.0,
    batch_size: int = 256,
    seed: int = 0,
    advance=lambda number: None,
) -> list[list[Completion]]:
    """Translations of each source. `style` is how the model is asked: "chat", or "line" for a base model."""
    if style == "chat":
        prompts = chat_prompts(tokenizer, [translation_prompt(source, target_language) for source in sources])
        stops = chat_stops(tokenizer)
    else:
        prompts, stops = line_prompts(tokenizer, sources), line_stops(tokenizer)
    return generate(
        model,
        tokenizer,
        prompts,
        stop_ids=stops,
        max_completion_tokens=max_completion_tokens,
        num_samples=num_samples,
        temperature=temperature,
        batch_size=batch_size,
        seed=seed,
        advance=advance,
    )


def translate_greedy(model, tokenizer, sources: list[str], target_language: str, **options) -> list[str]:
    return [completion.text for (completion,) in translate(model, tokenizer, sources, target_language, **options)]


def dev_chrf(model, tokenizer, corpus: Path, num_segments: int, max_completion_tokens: int) -> float:
    """Corpus chrF2 of greedy translations of the first development segments."""
    segments, (_, target_language) = held_out_segments(corpus, "dev", num_segments)
    hypotheses = translate_greedy(
        model, tokenizer, segments["source"].to_list(), target_language, max_completion_tokens=max_completion_tokens
    )
    return chrf_value(hypotheses, segments["target"].to_list())


def held_out_segments(corpus: Path, split: str, number: int) -> tuple[pl.DataFrame, tuple[str, str]]:
    """The first held-out segments of a split, and their languages: source, target."""
    segments = pl.read_parquet(corpus / "pairs.parquet").filter(split=split).head(number)
    return segments, tuple(read_json(corpus / "manifest.json")["section"]["pair"].split("-"))


def _systems(inputs: Mapping[str, Path]) -> Iterator[System]:
    """The model after every stage that has one, in the order of the pipeline."""
    manifest = read_json(inputs["pretrain"] / "manifest.json")
    if manifest["section"]["base"]:
        yield System("base", manifest["section"]["base"], "line")
    for phase in manifest["section"]["phases"]:
        yield System(f"pretrain/{phase['name']}", inputs["pretrain"] / phase["name"] / "model", "line")
    for stage in ("sft", "rl", "merge"):
        if stage in inputs:
            yield System(stage, inputs[stage] / "model", "chat")


def _translate(
    section: TranslateSection,
    test: pl.DataFrame,
    languages: tuple[str, str],
    systems: Sequence[System],
    system: System,
    decoding: str,
) -> pl.DataFrame:
    """One system's hypotheses for the test set."""
    start = time.monotonic()
    if decoding == "mbr":
        candidates = _sampled(section, test, languages[1], system, section.num_candidates, section.temperature)
        chosen = _select(section, test, languages, systems, candidates)
    else:
        chosen = [samples[0] for samples in _sampled(section, test, languages[1], system, 1, 0.0)]
    return test.select(segment_id="id", source="source", reference="target").with_columns(
        system=pl.lit(system.name),
        decoding=pl.lit(decoding),
        hypothesis=pl.Series([completion.text for completion in chosen]),
        num_tokens=pl.Series([len(completion.token_ids) for completion in chosen]),
        finished=pl.Series([completion.finished for completion in chosen]),
        seconds=pl.lit(time.monotonic() - start),
    )


def _sampled(
    section: TranslateSection, test: pl.DataFrame, target_language: str, system: System, number: int,
    temperature: float, seed: int | None = None,
) -> list[list[Completion]]:  # fmt: skip
    """`number` samples of one system for each segment, or with temperature 0 the likeliest translation."""
    model, tokenizer = on_device(load_model(system.model)), load_tokenizer(system.model)
    with progress_bar(f"translate/{system.name} {'samples' if temperature else 'greedy'}", len(test)) as bar:
        return translate(
            model,
            tokenizer,
            test["source"].to_list(),
            target_language,
            style=system.style,
            seed=section.seed if seed is None else seed,
            max_completion_tokens=section.max_completion_tokens,
            num_samples=number,
            temperature=temperature,
            batch_size=section.batch_size,
            advance=bar.advance,
        )


def _select(
    section: TranslateSection, test: pl.DataFrame, languages: tuple[str, str], systems: Sequence[System],
    candidates: list[list[Completion]],
) -> list[Completion]:  # fmt: skip
    """Choose one of each segment's candidates; pseudo-references of another model are drawn with another seed."""
    pseudo_references = None
    if section.pseudo_references != "candidates":
        source = next((system for system in systems if system.name == section.pseudo_references), None)
        if source is None:
            raise In2xError(f"translate.pseudo_references: the run has no model {section.pseudo_references!r}, only "
                            f"{', '.join(system.name for system in systems)}")  # fmt: skip
        drawn = _sampled(section, test, languages[1], source, section.num_pseudo_references,
                         section.pseudo_reference_temperature, section.seed + 1)  # fmt: skip
        pseudo_references = [[completion.text for completion in samples] for samples in drawn]
    texts = [[completion.text for completion in samples] for samples in candidates]
    reconstruct = _reconstruct(systems, languages[0]) if section.reconstruction_weight else None
    sources = test["source"].to_list()
    places = distributed.on_main(  # a plugin is started once, however many processes there are
        lambda: choose_all(section, texts, pseudo_references, sources, languages[1], reconstruct)
    )
    return [samples[place] for samples, place in zip(candidates, places, strict=True)]


def _reconstruct(systems: Sequence[System], source_language: str) -> Reconstruct:
    """Translates back with the sft stage's model: those after it may have been trained in one direction alone."""
    tuned = next((system for system in systems if system.style == "chat"), None)
    if tuned is None:
        raise In2xError("translate.reconstruction_weight: needs the model of a stage sft, and the run has none")
    reconstructor = load_reconstructor(Path(tuned.model))
    return lambda pairs: reconstructor.scores([(*pair, source_language) for pair in pairs])
