"""The command: a store in, a store with scores out, beside it verdicts and summary; what ends it, what resumes."""

import json

import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.evaluation.store import read_store, write_store
from in2x.judging.command import judge_command, read_parameters, summary_lines
from in2x.judging.runs import Settings

QUALITY = {"良い": 90, "普通": 60, "悪い": 20}
SYSTEMS = {"Good": "良い", "Middle": "普通", "Bad": "悪い"}


def _store(path, num_segments=6, systems=SYSTEMS, **changes):
    rows = [
        {"pair": "en-ja", "domain": "news", "document": f"d{i // 2}", "segment": f"s{i}", "system": system,
         "source": f"Sentence {i}.", "hypothesis": f"これは{word}訳です、{i}。",
         "references": [f"正しい訳、{i}。"]} | changes
        for system, word in systems.items()
        for i in range(num_segments)
    ]  # fmt: skip
    write_store(pl.DataFrame(rows), path)
    return path


def _quality(text):
    return next(score for word, score in QUALITY.items() if word in text)


@pytest.fixture
def fair(request_of):
    """A judge for every protocol that knows the quality by a word; `unreadable(data)` says where it babbles."""

    def make(unreadable=lambda data: False):
        def reply(body, number):
            request = request_of(body)
            data = request.data
            if unreadable(data):
                return f"Sorry, I can't, {number}."
            if "A" in data:
                a, b = _quality(data["A"]), _quality(data["B"])
                answer = {"better": "A" if a > b else "B" if b > a else "tie"}
            elif "principles" not in data and "translation" not in data:
                answer = {"principles": ["P8.", "P9.", "P10."]}
            elif "principles" in data:
                shown = data.get("translations") or [{"label": None, "text": data["translation"]}]
                items = {
                    x["label"]: [f"{'yes' if k < _quality(x['text']) / 10 else 'no'}" for k in range(10)] for x in shown
                }
                answer = {"answers": items if "translations" in data else items[None]}
            else:
                spans = [{"span": "悪い", "severity": "major", "category": "unnatural"},
                         {"span": "どこにもない", "severity": "minor", "category": "other"}]  # fmt: skip
                answer = {
                    "errors": spans if "悪い" in data["translation"] else [],
                    "score": _quality(data["translation"]),
                }
            return json.dumps({"id": request.id} | answer)

        return reply

    return make


@pytest.fixture
def judge(serve, tmp_path):
    def run(reply, protocol, store=None, **options):
        server = serve(reply)
        store = store or _store(tmp_path / "store.jsonl")
        defaults = {"cache_path": tmp_path / "answers.jsonl", "max_retries": 0, "timeout_seconds": 30}
        summary = judge_command(store, tmp_path / "out.parquet", server.url, "judge", protocol, **defaults | options)
        return summary, server

    return run


def _scores(path, metric):
    frame = read_store(path)
    return {system: frame.filter(system=system)[f"score.{metric}"].to_list() for system in frame["system"].unique()}


def test_esa(judge, fair, tmp_path):
    summary, server = judge(fair(), "esa")
    assert _scores(tmp_path / "out.parquet", "judge-esa") == {"Good": [90] * 6, "Middle": [60] * 6, "Bad": [20] * 6}
    assert len(server.bodies) == 18 and summary["verdicts"] == {"scored": 18}
    assert summary["report"] == {"num_spans": {"major": 6, "minor": 0}, "num_spans_dropped": 6}
    assert summary["systems"]["en-ja"]["Bad"] == {"mean": 20, "num_scores": 6, "num_segments": 6}
    assert summary["usage"]["prompt_tokens"] == 18 * 300 and summary["models_reported"] == ["judge-0905"]
    assert summary["signature"].startswith("judge:esa-1|model:judge|groupwise:false|references:false|gate:true|")
    lines = (tmp_path / "out.parquet.judge.jsonl").read_text(encoding="utf-8").splitlines()
    bad = next(line for line in map(json.loads, lines) if line["system"] == "Bad")
    assert bad["detail"]["spans"][0]["text"] == "悪い" and bad["segment"] == "s0" and bad["status"] == "scored"
    assert json.loads((tmp_path / "out.parquet.judge.json").read_text(encoding="utf-8")) == json.loads(
        json.dumps(summary)
    )
    shown = "\n".join(summary_lines(summary))
    assert "Bad: 20.000 over 6 of 6 segments" in shown and "18 sent, 0 from the cache, 5,400 + 360 tokens" in shown


def test_the_reference_is_shown_only_when_asked_for(judge, fair, request_of, tmp_path):
    _, server = judge(fair(), "esa")
    assert not any("reference" in request_of(body).data for body in server.bodies)
    _, server = judge(fair(), "esa", settings=Settings(use_references=True))
    assert {request_of(body).data["reference"] for body in server.bodies} == {f"正しい訳、{i}。" for i in range(6)}
    with pytest.raises(In2xError, match="no reference"):
        judge(fair(), "esa", _store(tmp_path / "b.jsonl", references=[]), settings=Settings(use_references=True))


@pytest.mark.parametrize("groupwise", [False, True])
def test_rubric(judge, fair, tmp_path, groupwise):
    summary, server = judge(fair(), "rubric", settings=Settings(groupwise=groupwise))
    metric = "judge-rubric-groupwise" if groupwise else "judge-rubric"
    assert _scores(tmp_path / "out.parquet", metric) == {"Good": [0.9] * 6, "Middle": [0.6] * 6, "Bad": [0.2] * 6}
    assert len(server.bodies) == (6 + 6 * 2 if groupwise else 6 + 18)
    assert summary["report"] == ({"position_bias": 0.0, "num_compared": 12} if groupwise else {})


def test_pairwise(judge, fair, tmp_path):
    summary, server = judge(fair(), "pairwise", settings=Settings(anchors=("Middle",), num_resamples=50))
    assert _scores(tmp_path / "out.parquet", "judge-pairwise") == {"Good": [1] * 6, "Middle": [0.5] * 6, "Bad": [0] * 6}
    assert len(server.bodies) == 2 * 2 * 6  # two systems against one anchor, both orders
    report = summary["report"]
    strengths = {system: row["strength"] for system, row in report["strengths"]["en-ja"].items()}
    assert strengths["Middle"] == 0 and strengths["Good"] == pytest.approx(-strengths["Bad"]) and strengths["Good"] > 1
    assert (report["num_asked"], report["num_inconsistent"], report["first_place_share"]) == (12, 0, 0.5)
    line = json.loads((tmp_path / "out.parquet.judge.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert (line["system"], line["against"], line["score"]) == ("Good", "Middle", 1.0)
    assert "Good: strength +" in "\n".join(summary_lines(summary))


def test_two_anchors_meet_once_on_a_segment(judge, fair, tmp_path):
    summary, server = judge(
        fair(), "pairwise", settings=Settings(anchors=("Middle", "Bad", "Middle"), num_resamples=10), systems=("Good",)
    )
    assert summary["report"]["num_asked"] == 6 * 3 and len(server.bodies) == 6 * 3 * 2
    assert _scores(tmp_path / "out.parquet", "judge-pairwise") == {"Good": [1] * 6, "Middle": [0.5] * 6, "Bad": [0] * 6}
    strengths = {system: row["strength"] for system, row in summary["report"]["strengths"]["en-ja"].items()}
    assert strengths["Middle"] == pytest.approx(-strengths["Bad"]) and strengths["Good"] > strengths["Middle"] > 0


def test_documents_are_the_units_of_the_intervals(judge, request_of, tmp_path):
    """Middle wins one document of two segments out of three: segments drawn alone would give more than four values."""

    def reply(body, number):
        data = request_of(body).data
        winner = "普通" if data["source"] in ("Sentence 0.", "Sentence 1.") else "良い"
        return json.dumps({"id": request_of(body).id, "better": "A" if winner in data["A"] else "B"})

    from in2x.judging import bradley_terry

    summary, _ = judge(reply, "pairwise", systems=("Good",), settings=Settings(anchors=("Middle",), num_resamples=300))
    row = summary["report"]["strengths"]["en-ja"]["Good"]
    possible = [bradley_terry.fit([[0, 2 * won], [6 - 2 * won, 0]], [1])[0] for won in range(4)]
    assert row["strength"] == pytest.approx(possible[2])
    assert row["low"] == pytest.approx(possible[0]) and row["high"] == pytest.approx(possible[3])


def test_failures_are_null_and_counted(judge, fair, tmp_path):
    summary, _ = judge(fair(lambda data: "悪い訳です、3" in data["translation"]), "esa")
    assert _scores(tmp_path / "out.parquet", "judge-esa")["Bad"] == [20, 20, 20, None, 20, 20]
    assert summary["systems"]["en-ja"]["Bad"] == {"mean": 20, "num_scores": 5, "num_segments": 6}
    assert summary["verdicts"] == {"scored": 17, "failed": 1} and summary["failures"] == {"no score could be read": 1}


def test_too_many_failures_write_nothing_and_show_three(judge, fair, tmp_path):
    def unreadable(data):
        return "悪い" in data["translation"]

    with pytest.raises(In2xError) as error:
        judge(fair(unreadable), "esa")
    assert "6 of 18 judgements failed (33%" in str(error.value) and str(error.value).count("Sorry, I can't") == 3
    assert not (tmp_path / "out.parquet").exists()
    judge(fair(unreadable), "esa", settings=Settings(max_failing=0.34))
    assert _scores(tmp_path / "out.parquet", "judge-esa")["Bad"] == [None] * 6


@pytest.mark.parametrize("protocol", ["esa", "rubric", "pairwise"])
def test_a_judge_that_never_keeps_to_the_form_is_found_out_early(judge, fair, tmp_path, protocol):
    settings = Settings(anchors=("Middle",) if protocol == "pairwise" else ())
    asked = []
    with pytest.raises(In2xError, match="20 of 20|60 of 60"):
        judge(
            lambda body, n: asked.append(n) or "Sorry.", protocol, _store(tmp_path / "s.jsonl", 60), settings=settings
        )
    assert len(asked) <= 40


def test_the_gate_gives_the_floor_and_asks_nothing(judge, fair, tmp_path):
    store = _store(tmp_path / "s.jsonl", systems=SYSTEMS | {"Copy": "良い"})
    frame = read_store(store)
    copied = pl.when(pl.col("system") == "Copy").then(pl.lit("This is a good one.")).otherwise("hypothesis")
    write_store(frame.with_columns(hypothesis=copied), store)
    summary, server = judge(fair(), "esa", store)
    assert _scores(tmp_path / "out.parquet", "judge-esa")["Copy"] == [0] * 6 and len(server.bodies) == 18
    assert summary["verdicts"] == {"scored": 18, "gated": 6} and summary["gate_reasons"] == {"language": 6}


def test_the_same_command_again_asks_nothing(judge, fair, tmp_path):
    first, _ = judge(fair(), "rubric")
    second, server = judge(lambda body, n: "never", "rubric")
    assert server.bodies == [] and second["usage"]["sent"] == 0
    assert {k: v for k, v in first.items() if k not in ("usage", "endpoint")} == {
        k: v for k, v in second.items() if k not in ("usage", "endpoint")
    }


def test_only_the_chosen_systems_are_judged_and_others_keep_their_scores(judge, fair, tmp_path):
    judge(fair(), "esa", systems=("Bad",))
    assert _scores(tmp_path / "out.parquet", "judge-esa") == {"Good": [None] * 6, "Middle": [None] * 6, "Bad": [20] * 6}
    summary, _ = judge(fair(), "esa", tmp_path / "out.parquet", systems=("Good",))
    assert _scores(tmp_path / "out.parquet", "judge-esa") == {"Good": [90] * 6, "Middle": [None] * 6, "Bad": [20] * 6}
    assert list(summary["systems"]["en-ja"]) == ["Good"]


def test_the_metric_can_be_named(judge, fair, tmp_path):
    judge(fair(), "esa", metric="esa-by-judge")
    assert "score.esa-by-judge" in read_store(tmp_path / "out.parquet").columns


@pytest.mark.parametrize(
    ("protocol", "options", "message"),
    [
        ("mqm", {}, "expected one of esa, rubric, pairwise"),
        ("esa", {"settings": Settings(groupwise=True)}, "--groupwise is an option of protocol rubric"),
        ("rubric", {"settings": Settings(anchors=("Good",))}, "--anchor is an option of protocol pairwise"),
        ("pairwise", {"settings": Settings(use_references=True, anchors=("Good",))}, "--references is an option of"),
        ("pairwise", {}, "name the systems to compare with"),
        ("pairwise", {"settings": Settings(anchors=("Best",))}, "no system 'Best'; it has Good, Middle, Bad"),
        ("esa", {"systems": ("Best",)}, "no system 'Best'"),
        ("esa", {"settings": Settings(max_failing=20)}, "a share between 0 and 1"),
        ("esa", {"api_key_variable": "NO_SUCH_KEY"}, "NO_SUCH_KEY"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_asked(judge, protocol, options, message):
    asked = []
    with pytest.raises(In2xError, match=message):
        judge(lambda body, n: asked.append(n) or "", protocol, **options)
    assert asked == []


def test_the_output_must_be_a_store(tmp_path):
    with pytest.raises(In2xError, match="named .parquet"):
        judge_command(_store(tmp_path / "s.jsonl"), tmp_path / "out.csv", "http://localhost", "judge", "esa")


def test_parameters():
    words = ["temperature=0.5", "seed=null", "reasoning_effort=low", 'stop=["x"]']
    assert read_parameters(words) == {"temperature": 0.5, "seed": None, "reasoning_effort": "low", "stop": ["x"]}
    for wrong in ("temperature", "model=x", "stream=true", "=1", "top p=1"):
        with pytest.raises(In2xError, match="--set"):
            read_parameters([wrong])
