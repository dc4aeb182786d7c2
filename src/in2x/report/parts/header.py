"""Title, one paragraph, headline scores and the pipeline with the time of each stage."""

from __future__ import annotations

from in2x.report import systems
from in2x.report.folders import STAGES, Run, Stage
from in2x.report.markup import Html, compact, duration, element, fixed, join, moment, number
from in2x.report.systems import Score

PLACES = {"translate": "translations", "evaluate": "results", "corpus": "data"}
MODELS = {"base": "base model", "pretrain": "pre-trained model", "sft": "SFT model", "rl": "RL model"}
MODELS |= {"merge": "merged model"}
LANGUAGES = {"en": "English", "ja": "Japanese", "zh": "Chinese", "ko": "Korean", "de": "German"}


def render(run: Run, title: str) -> Html:
    scores = run["evaluate"].records("scores.json")
    return element(
        "header",
        element("p", _kicker(run), class_="kicker"),
        element("h1", title),
        element("p", _summary(run), class_="lead"),
        _headlines(scores),
        _pipeline(run),
    )


def _kicker(run: Run) -> str:
    started = [str(stage.manifest["started_at"]) for stage in run if stage.manifest.get("started_at")]
    pair = run["corpus"].section.get("pair")
    return " · ".join(filter(None, ["In2x", pair, moment(min(started)) if started else None]))


def _summary(run: Run) -> Html:
    """Say in a few sentences what was trained on what; each sentence only where its stage has run."""
    sentences = [_start(run), _pretraining(run), _instructions(run), _test(run)]
    told = [sentence for sentence in sentences if sentence]
    return join(" ".join(told) or "No stage of this run has finished yet.")


def _start(run: Run) -> str | None:
    splits, section = run["corpus"].results.get("num_pairs") or {}, run["pretrain"].section
    if not splits and not section:
        return None
    languages = str(run["corpus"].section.get("pair", "")).split("-")
    names = "–".join(LANGUAGES.get(code, code) for code in languages if code)
    base = section.get("base")
    model = f"{str(base).rstrip('/').rsplit('/', 1)[-1]}" if base else "A model from random weights" if section else ""
    pairs = f"{number(splits['train'])} {names} pairs".replace("  ", " ") if "train" in splits else ""
    if not model:
        return f"The corpus holds {pairs} for training."
    return f"{model} learns to translate" + (f" from {pairs} and monolingual text." if pairs else ".")


def _pretraining(run: Run) -> str | None:
    phases = run["pretrain"].results.get("phases") or []
    tokens = sum(phase.get("tokens") or 0 for phase in phases)
    return f"Pre-training takes {compact(tokens)} tokens in {len(phases)} phases." if phases else None


def _instructions(run: Run) -> str | None:
    drawn, rl = run["instruct"].results.get("num_sft") or [], run["rl"].results
    told = []
    if run["sft"].has_run and drawn:
        count = sum(drawn) if isinstance(drawn, list) else drawn
        told.append(f"SFT sees {number(count)} instructions")
    if rl.get("num_steps"):
        algorithm, rollouts = rl.get("algorithm", "RL"), number(rl.get("num_rollouts"))
        told.append(f"RL ({algorithm}) takes {number(rl['num_steps'])} steps over {rollouts} rollouts")
    return ", and ".join(told) + "." if told else None


def _test(run: Run) -> str | None:
    scores = run["evaluate"].records("scores.json")
    counts = [score["num_segments"] for score in scores if isinstance(score.get("num_segments"), int)]
    if not counts:
        return None
    final = str(systems.final_system(scores)).split("/")[0]
    named = f" The scores below are those of the {MODELS[final]}." if final in MODELS else ""
    return f"Every system translates the same {number(max(counts))} held-out segments.{named}"


def _headlines(scores: list[Score]) -> Html | None:
    """Show the final system's independent scores, greedy and selected, against the base model's."""
    cards = [
        _headline(scores, score) for decoding in systems.DECODINGS for score in systems.headlines(scores, decoding)
    ]
    missing = [
        systems.decoding_name(decoding)
        for decoding in systems.DECODINGS
        if not systems.headlines(scores, decoding) and any(score.get("decoding") == decoding for score in scores)
    ]
    said = f"No headline for {' and '.join(missing)}: every metric took part in training or selection."
    return join([element("div", *cards, class_="headlines"), element("p", said, class_="note") if missing else None])


def _headline(scores: list[Score], score: Score) -> Html:
    metric, decoding = str(score.get("metric")), str(score.get("decoding"))
    base = systems.find(scores, "base", "greedy", metric)
    interval = f"{fixed(score.get('low'))}–{fixed(score.get('high'))}"
    against = f"{interval} · base {fixed(base.get('value'))}" if base else interval
    return element(
        "div",
        element("span", f"{metric} · {systems.decoding_name(decoding)}", class_="what"),
        element("span", fixed(score.get("value")), class_="value"),
        element("span", against, class_="unit"),
        class_="headline",
    )


def _pipeline(run: Run) -> Html:
    longest = max((stage.seconds for stage in run), default=0.0) or 1.0
    steps = [_step(run[name], longest) for name in STAGES]
    return element("ol", *steps, class_="pipeline", aria_label="Pipeline, with the time of each stage")


def _step(stage: Stage, longest: float) -> Html:
    share = stage.seconds / longest
    time = duration(stage.seconds) if stage.has_run else stage.status
    state = None if stage.status in ("complete", "not run") else element("span", stage.status, class_="state")
    bar = element("i", style=f"width:{100 * share:.1f}%")
    link = element(
        "a",
        element("b", stage.name),
        element("span", time),
        state,
        href=f"#{PLACES.get(stage.name, stage.name)}",
    )
    kind = "done" if stage.status == "complete" else "absent" if not stage.has_run else "open"
    return element("li", link, element("div", bar, class_="meter"), class_=kind)
