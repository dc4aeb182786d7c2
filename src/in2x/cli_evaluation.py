"""Commands that evaluate translations of any origin: they read no recipe. What is slow to import waits until needed."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from in2x.artifacts import In2xError, Interrupted

StoreFile = Annotated[Path, typer.Argument(metavar="STORE", help="A segment store: .parquet, .jsonl or .jsonl.gz.",
                                           show_default=False)]  # fmt: skip
Out = Annotated[Path, typer.Option("--out", help="Where to write.", show_default=False)]
OnMissing = Annotated[Literal["refuse", "intersect"], typer.Option(help="Where a system lacks segments.")]
Level = Annotated[Literal["segment", "document"], typer.Option(help="What is resampled and tested.")]
Baseline = Annotated[str | None, typer.Option(help="Test every other system against this one; left out, all pairs.")]
Metrics = Annotated[list[str] | None, typer.Option("--metric", help="A metric by name; may be repeated.")]
Roles = Annotated[
    list[str] | None,
    typer.Option(
        "--role", help="METRIC=SYSTEM=reward|selector: the metric was more than a judge to it; may be repeated."
    ),
]
Seed = Annotated[int, typer.Option(help="Of every random draw.")]


def rank(
    scores: Annotated[
        list[Path], typer.Argument(metavar="SCORES", help="Scores by segment, .jsonl or .jsonl.gz.", show_default=False)
    ],
    pair: Annotated[str | None, typer.Option(help="Rank this pair of languages alone, such as en-ja.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write pair -> system -> numbers to a file.")] = None,
    stability: Annotated[bool, typer.Option("--stability/--no-stability", help="Say how sure each rank is.")] = True,
    insert: Annotated[
        list[Path] | None, typer.Option(help="Scores of your own systems, put on the scale of the frozen pool.")
    ] = None,
    rescale: Annotated[
        bool, typer.Option("--rescale", help="Let inserted systems move the pool's scale, as in WMT25.")
    ] = False,
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", help="Count this metric in place of WMT25's choice; repeatable.")
    ] = None,
    among: Annotated[list[str] | None, typer.Option(help="Rank these systems among themselves too.")] = None,
    tracks: Annotated[
        Path | None, typer.Option(help="Another systems_metadata.json than WMT25's, to rank tracks among themselves.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=1, help="Resamples of the documents.")] = 2000,
    seed: Seed = 12345,
) -> None:
    """Rank systems by WMT25's AutoRank, with how sure each rank is, from scores by segment."""
    from in2x.evaluation.autorank_table import rank_command

    rank_command(scores, pair, json_out, stability, resamples, seed, insert=insert or (), rescale=rescale,
                 metrics=metrics or (), among=among or (), tracks=tracks)  # fmt: skip


def import_(
    source: Annotated[Path, typer.Argument(help="WMT's file, a run's folder, or a text file.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="Store to write: .parquet, .jsonl or .jsonl.gz.", show_default=False)],
    pair: Annotated[str | None, typer.Option(help="Languages, such as en-ja; text files need it.")] = None,
    systems: Annotated[list[str] | None, typer.Option("--system", help="FILE or NAME=FILE; repeatable.")] = None,
    references: Annotated[list[Path] | None, typer.Option("--reference", help="A text file; repeatable.")] = None,
    documents: Annotated[Path | None, typer.Option(help="Text file: document id, tab, domain, by line.")] = None,
    segments: Annotated[Path | None, typer.Option(help="WMT's table of sources and references (.tsv).")] = None,
    scores: Annotated[Path | None, typer.Option(help="WMT25's automatic scores, to add.")] = None,
    reference_system: Annotated[str | None, typer.Option(help="A system to take as the reference.")] = None,
    on_missing: OnMissing = "refuse",
    roles: Roles = None,
) -> None:
    """Make a segment store of WMT's files, of parallel text files, or of a run."""
    from in2x.evaluation.store_commands import import_command

    import_command(
        source, out, pair=pair, systems=systems or (), references=references or (), documents=documents,
        segments=segments, scores=scores, reference_system=reference_system, on_missing=on_missing,
        roles=parsed_roles(roles or ()),
    )  # fmt: skip


def score(
    store: StoreFile,
    names: Annotated[list[str] | None, typer.Option("--score", help="BLEU, TER ...; repeatable; else all.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Store to write; left out, the same.")] = None,
    on_missing: OnMissing = "refuse",
    plugin: Annotated[
        str | None, typer.Option(help="A neural metric instead: comet, metricx, or the path of a script.")
    ] = None,
    python: Annotated[Path | None, typer.Option(help="Plugin: the Python of its own environment.")] = None,
    model: Annotated[str | None, typer.Option(help="Plugin: its weights, a path or a hub id.")] = None,
    systems: Annotated[list[str] | None, typer.Option("--system", help="Plugin: this system only; repeatable.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Plugin: segments at once.")] = 16,
    roles: Roles = None,
    rewards: Annotated[
        list[str] | None, typer.Option("--reward", help="A component of the reward instead, or gates; repeatable.")
    ] = None,
    reward_stage: Annotated[Path | None, typer.Option(help="Reward: a run's stage reward, with its models.")] = None,
    embedding_model: Annotated[Path | None, typer.Option(help="Reward embedding: a model's folder.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Reward rubric: the judge's server; --model names it.")] = None,
) -> None:
    """Score every segment and system of a store: BLEU, chrF, TER, copies, numbers, names; or by a neural metric."""
    from in2x.evaluation.plugins.command import plugin_command
    from in2x.evaluation.store_commands import score_command

    if rewards:
        from in2x.rewards.score_store import reward_command

        reward_command(
            store, rewards, out, on_missing=on_missing, reward_stage=reward_stage, embedding_model=embedding_model,
            endpoint=endpoint, judge_model=model, estimator=plugin, python=python, estimator_model=model,
        )  # fmt: skip
        return
    if plugin is None:
        score_command(store, names or (), out, on_missing=on_missing, roles=parsed_roles(roles or ()))
        return
    if python is None or model is None:
        raise typer.BadParameter("--plugin needs --python, the Python of the metric's own environment, and --model")
    found = plugin_command(
        store, out or store, plugin, python=python, model=model, systems=systems or (), batch_size=batch_size,
        roles=parsed_roles(roles or ()),
    )  # fmt: skip
    print(f"{found.num_new:,} segments scored, {found.num_cached:,} known before, {found.num_failed:,} failed; "
          f"{found.signature}\n{out or store}")  # fmt: skip


def compare(
    store: StoreFile,
    out: Annotated[Path, typer.Option("--out", help="JSON file to write.")] = Path("comparison.json"),
    level: Level = "segment",
    baseline: Baseline = None,
    metrics: Metrics = None,
    roles: Roles = None,
    seed: Seed = 12345,
) -> None:
    """Compare systems: scores with intervals, paired tests with Holm's correction, rank clusters."""
    from in2x.evaluation.compare_store import compare_command
    from in2x.evaluation.comparison import Settings

    settings = Settings(level=level, baseline=baseline, seed=seed)
    compare_command(store, out, settings, metrics=metrics or (), roles=parsed_roles(roles or ()))
    print(out)


def agree(
    store: StoreFile,
    human: Annotated[str, typer.Option(help="The scores to agree with, such as human-esa.")] = "human-esa",
    metrics: Metrics = None,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write.")] = None,
    permutations: Annotated[int, typer.Option(min=2, help="Of the test of each pair of systems; even.")] = 1000,
    seed: Seed = 12345,
) -> None:
    """Compare metrics with human scores: soft pairwise accuracy, pairwise accuracy and tau over pairs of systems."""
    from in2x.evaluation.agree_store import agree_command

    if permutations % 2:
        raise typer.BadParameter(f"--permutations: expected an even number, got {permutations}")
    agree_command(store, human, out, metrics=metrics or (), num_permutations=permutations, seed=seed)


def japanese(
    store: StoreFile,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write: rates and all findings.")] = None,
    systems: Annotated[list[str] | None, typer.Option("--system", help="Check this system only; repeatable.")] = None,
    resamples: Annotated[int, typer.Option(min=0, help="Resamples of the documents; 0: no intervals.")] = 1000,
    num_examples: Annotated[int, typer.Option("--examples", min=0, help="Places shown for each check.")] = 2,
    seed: Seed = 12345,
) -> None:
    """Check Japanese translations by rules: register, pronouns, script, names, punctuation, translationese."""
    from in2x.evaluation.japanese.command import japanese_command

    japanese_command(store, out, systems=systems or (), num_resamples=resamples, seed=seed, num_examples=num_examples)


def report_store(
    store: Path, out: Path | None, level: str, baseline: str | None, metrics: list[str], roles: list[str],
    sides: list[str], japanese: Path | None = None, challenge: list[str] | tuple = (),
) -> None:  # fmt: skip
    """The report on a segment store; `in2x report` comes here where it is not given a recipe."""
    from in2x.evaluation.comparison import Settings
    from in2x.evaluation.store_commands import system_files
    from in2x.report.comparison.build import report_command

    if sides and len(sides) != 2:
        raise typer.BadParameter(f"--side names the two systems to show against each other; got {len(sides)}")
    out = out or store.with_name(f"{store.name.split('.')[0]}.report")
    settings = Settings(level=level, baseline=baseline)
    print(report_command(store, out, settings=settings, metrics=metrics, roles=parsed_roles(roles),
                         sides=tuple(sides) or None, japanese=japanese, challenge=system_files(challenge)))  # fmt: skip


def judge(
    store: StoreFile,
    out: Annotated[Path, typer.Argument(help="The store to write, with the scores.", show_default=False)],
    endpoint: Annotated[str, typer.Option(help="An OpenAI-compatible server: http://localhost:8000/v1.")],
    model: Annotated[str, typer.Option(help="The judge's name, as the server knows it.")],
    protocol: Annotated[
        Literal["esa", "rubric", "pairwise"], typer.Option(help="Error spans and a score, principles, or duels.")
    ] = "esa",
    systems: Annotated[list[str] | None, typer.Option("--system", help="Judge this system only; repeatable.")] = None,
    anchors: Annotated[
        list[str] | None, typer.Option("--anchor", help="Pairwise: compare with this system; repeatable.")
    ] = None,
    groupwise: Annotated[bool, typer.Option("--groupwise", help="Rubric: all systems in one request.")] = False,
    references: Annotated[bool, typer.Option("--references", help="Esa: show the first reference too.")] = False,
    no_gate: Annotated[bool, typer.Option("--no-gate", help="Ask about texts in the wrong language too.")] = False,
    metric: Annotated[str | None, typer.Option(help="Name of the scores; by default judge-<protocol>.")] = None,
    api_key_variable: Annotated[str | None, typer.Option(help="Environment variable that holds the key.")] = None,
    api_key_file: Annotated[Path | None, typer.Option(help="File that holds the key.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=1024, help="Requests at once.")] = 8,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for one reply.")] = 120.0,
    retries: Annotated[int, typer.Option(min=0, help="Further tries of a request.")] = 6,
    max_failing: Annotated[float, typer.Option(min=0, max=1, help="Share of unread answers that is allowed.")] = 0.2,
    parameters: Annotated[list[str] | None, typer.Option("--set", help="Sampling, such as temperature=0.5.")] = None,
    cache: Annotated[Path | None, typer.Option(help="File of answers; by default in the user's cache.")] = None,
    roles: Roles = None,
) -> None:
    """Have a language model judge the translations of a segment store."""
    from in2x.judging.command import judge_command, read_parameters, summary_lines
    from in2x.judging.runs import Settings

    settings = Settings(groupwise, tuple(anchors or ()), references, max_failing)
    try:
        summary = judge_command(
            store, out, endpoint, model, protocol, metric=metric, systems=systems or (), settings=settings,
            gate=not no_gate, api_key_variable=api_key_variable, api_key_file=api_key_file, concurrency=concurrency,
            timeout_seconds=timeout, max_retries=retries, parameters=read_parameters(parameters or ()),
            cache_path=cache, roles=parsed_roles(roles or ()),
        )  # fmt: skip
    except KeyboardInterrupt:
        raise Interrupted("interrupted; what was answered is kept, run it again to continue") from None
    for line in summary_lines(summary):
        print(line)
    print(out)


def challenge(
    hypotheses: Annotated[
        Path | None,
        typer.Argument(
            help="Translations: .jsonl (id, hypothesis), .txt or .tsv (id, tab, text). Left out: the sources.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The sources (.jsonl, .txt, .tsv), or the JSON result.")
    ] = None,
    categories: Annotated[
        list[str] | None, typer.Option("--category", help="idioms, slang, register or literary; repeatable; else all.")
    ] = None,
) -> None:
    """Score translations on our English-Japanese challenge set: idioms, slang, register, literary prose."""
    from in2x.evaluation.challenge.command import challenge_command

    challenge_command(hypotheses, out, categories or ())


campaign = typer.Typer(
    no_args_is_help=True, help="Human evaluation with Pearmut: blind campaigns, and judgements back."
)


@campaign.command("export")
def campaign_export(
    store: StoreFile,
    out: Annotated[Path, typer.Argument(help="The campaign's JSON; its key is written beside it.", show_default=False)],
    protocol: Annotated[
        Literal["esa", "ab"], typer.Option(help="Error spans and scores, or two side by side.")
    ] = "esa",
    annotators: Annotated[int, typer.Option(min=1, help="How many people judge.")] = 4,
    overlap: Annotated[int, typer.Option(min=1, help="How many of them judge each text.")] = 1,
    baseline: Annotated[str | None, typer.Option(help="ab: the system that all others are set against.")] = None,
    documents: Annotated[int | None, typer.Option(min=1, help="Draw so many documents; left out, all.")] = None,
    seed: Seed = 0,
) -> None:
    """Write a campaign for Pearmut in which systems carry labels, and the key to the labels."""
    from in2x.evaluation.campaigns import export_campaign, key_file

    told = export_campaign(store, out, protocol, num_annotators=annotators, overlap=overlap, baseline=baseline,
                           num_documents=documents, seed=seed)  # fmt: skip
    print(", ".join(f"{count:,} {name}" for name, count in told.items()))
    print(f"{out}: for `pearmut add`\n{key_file(out)}: which label is which system; keep it from the annotators")


@campaign.command("import")
def campaign_import(
    store: StoreFile,
    annotations: Annotated[Path, typer.Argument(help="Pearmut's log: .jsonl or .json.", show_default=False)],
    key: Annotated[Path, typer.Option(help="The campaign's key file.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Store to write, with the scores.", show_default=False)],
) -> None:
    """Bring judgements back into the store, and show how the systems did."""
    from in2x.evaluation.campaigns import import_campaign
    from in2x.evaluation.store_commands import print_overview

    frame, preferences = import_campaign(store, annotations, key, out)
    print_overview(frame)
    for system, found in preferences.items():
        print(f"{system}: preferred {found['wins']} times, not preferred {found['losses']}, ties {found['ties']}; "
              f"sign test p = {found['p_value']:.3g}")  # fmt: skip
    print(out)


def parsed_roles(arguments: list[str] | tuple) -> dict[str, dict[str, str]]:
    """ "chrF2=merge=reward" as metric -> system -> role."""
    roles: dict[str, dict[str, str]] = {}
    for argument in arguments:
        parts = argument.split("=")
        if len(parts) != 3 or parts[2] not in ("reward", "selector"):
            raise In2xError(f"--role {argument}: expected METRIC=SYSTEM=reward or METRIC=SYSTEM=selector")
        roles.setdefault(parts[0], {})[parts[1]] = parts[2]
    return roles
