"""The rubric judge and quality estimation as components, against a real server and real processes on this machine."""

import importlib.util
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import in2x.evaluation.plugins
from in2x.artifacts import In2xError
from in2x.judging.cache import AnswerCache
from in2x.records import Completion
from in2x.rewards.components import Resources
from in2x.rewards.groups import Group
from in2x.rewards.measure import measure
from in2x.rewards.remote import QualityEstimator, RubricJudge
from in2x.rewards.translation import TranslationReward

_spec = importlib.util.spec_from_file_location(
    "judging_conftest", Path(__file__).parents[1] / "judging" / "conftest.py"
)
_judging = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_judging)
serve, make_client, read_request = _judging.serve, _judging.make_client, _judging.read_request

TEXTS = ("彼は毎日学校へ行きます。", "彼は学校へ行く。", "犬が好きだ。", "English words only here.")
QUALITY = {TEXTS[0]: 8, TEXTS[1]: 4, TEXTS[2]: 0}


def group(name="a", source="He goes to school every day.", texts=TEXTS, **more):
    completions = [Completion([7], [-1.0], text, True) for text in texts]
    return Group(name, [1], source, None, "ja", completions, **{"source_language": "en"} | more)


def judge_that(unreadable=lambda request: False, pause=0.0):
    """A judge that satisfies the first `QUALITY` of eight principles, one of them its own."""

    def reply(body, number):
        request = read_request(body)
        time.sleep(pause)
        if unreadable(request):
            return "I would rather not say."
        if "principles" not in request.data:
            return json.dumps({"id": request.id, "principles": ["Every day is said."]})
        count = len(request.data["principles"])
        shown = request.data["translations"]
        items = {t["label"]: ["yes"] * QUALITY[t["text"]] + ["no"] * (count - QUALITY[t["text"]]) for t in shown}
        return json.dumps({"id": request.id, "notes": "", "answers": items})

    return reply


def test_the_share_of_principles_is_the_component_and_failed_gates_are_not_shown(make_client):
    client = make_client(judge_that())
    reward = TranslationReward({"rubric": 1.0}, resources=Resources(judge=RubricJudge(client)))
    rewarded = reward([group()])
    np.testing.assert_array_equal(rewarded.components_PG["rubric"], [[1.0, 0.5, 0.0, np.nan]])
    assert rewarded.composed.rewards_PG[0, 3] < rewarded.composed.rewards_PG[0, :3].min()
    sent = "".join(json.dumps(body, ensure_ascii=False) for body in client.test_server.bodies)
    assert "English words only" not in sent
    assert len(client.test_server.bodies) == 3  # principles, and both orders of the group


def test_what_the_judge_does_not_answer_is_unscorable_and_stops_above_the_bound(make_client):
    def of_the_second(request):
        return request.data.get("source") == "Second." and "translations" in request.data

    client = make_client(judge_that(unreadable=of_the_second))
    groups = [group("first", texts=TEXTS[:3]), group("second", "Second.", TEXTS[:3])]
    resources = Resources(judge=RubricJudge(client))
    rewarded = TranslationReward({"rubric": 1.0}, resources=resources, max_unscorable_fraction=0.5)(groups)
    assert rewarded.unscorable_counts() == {"rubric": {"not an answer for every translation": 3}}
    assert np.isnan(rewarded.components_PG["rubric"][1]).all()
    assert len(set(rewarded.composed.rewards_PG[1].tolist())) == 1
    with pytest.raises(In2xError, match=r"'rubric': 3 of 6 completions .*\n  3 times: not an answer"):
        TranslationReward({"rubric": 1.0}, resources=resources, max_unscorable_fraction=0.49)(groups)


def test_a_server_that_is_gone_is_counted_and_stops_the_run(make_client):
    client = make_client(judge_that(), max_retries=0)
    client.test_server.server_close()
    reward = TranslationReward({"rubric": 1.0}, resources=Resources(judge=RubricJudge(client)))
    with pytest.raises(In2xError, match="'rubric': 3 of 3 completions could not be scored"):
        reward([group()])


def test_the_concurrency_given_is_saturated(make_client):
    client = make_client(judge_that(pause=0.15), concurrency=6)
    groups = [group(f"g{n}", f"Source {n}.", TEXTS[:3]) for n in range(18)]
    measure("rubric", groups, np.ones((18, 3), bool), Resources(judge=RubricJudge(client)))
    assert client.test_server.max_in_flight == 6
    assert client.usage.sent == 18 * 3


def test_the_judge_has_to_know_the_source_language(make_client):
    resources = Resources(judge=RubricJudge(make_client(judge_that())))
    found = measure("rubric", [group(source_language="")], np.ones((1, 4), bool), resources)
    assert "source_language" in found.reasons[0, 0] and len(found.reasons) == 4


WORKER = """
import os, sys
sys.path.insert(0, {plugins!r})
import worker
worker.take_standard_output()
open(sys.argv[1], "a").write("started\\n")

def score(rows):
    {body}

worker.serve(score, needs_reference={needs_reference}, signature="length|v1")
"""


@pytest.fixture
def estimator(tmp_path):
    started = []

    def make(body="return [len(row['hypothesis']) for row in rows]", needs_reference=False, **options):
        script = tmp_path / "metric.py"
        plugins = str(Path(in2x.evaluation.plugins.__file__).parent)
        script.write_text(WORKER.format(plugins=plugins, body=body, needs_reference=needs_reference))
        started.append(QualityEstimator(str(script), Path(sys.executable), str(tmp_path / "starts"), **options))
        return started[-1]

    yield make
    for one in started:
        one.close()


def test_a_metric_of_another_process_is_started_once(estimator, tmp_path):
    resources = Resources(estimator=estimator(sign=-1.0))
    passed = np.array([[True, True, True, False]])
    for _ in range(2):
        found = measure("qe", [group()], passed, resources)
    np.testing.assert_array_equal(found.values_PG, [[-12.0, -8.0, -6.0, np.nan]])
    assert (tmp_path / "starts").read_text() == "started\n"


def test_rows_that_the_metric_fails_on_are_unscorable(estimator):
    body = "return [1 / ('犬' not in row['hypothesis']) for row in rows]"
    found = measure("qe", [group(texts=TEXTS[:3])], np.ones((1, 3), bool), Resources(estimator=estimator(body)))
    assert found.values_PG[0, :2].tolist() == [1.0, 1.0]
    assert "ZeroDivisionError" in found.reasons[0, 2]


def test_a_metric_that_dies_is_counted_and_started_again(estimator, tmp_path):
    body = "os._exit(3) if any('犬' in row['hypothesis'] for row in rows) else None; return [1.0 for _ in rows]"
    resources = Resources(estimator=estimator(body))
    found = measure("qe", [group(texts=TEXTS[:3])], np.ones((1, 3), bool), resources)
    assert len(found.reasons) == 3 and "ended with code 3" in found.reasons[0, 0]
    found = measure("qe", [group(texts=TEXTS[:2])], np.ones((1, 2), bool), resources)
    assert found.values_PG.tolist() == [[1.0, 1.0]]
    assert (tmp_path / "starts").read_text() == "started\n" * 2


def test_a_closed_reward_leaves_no_process_and_no_open_file(estimator, make_client, tmp_path):
    client = make_client(judge_that())
    client.cache = AnswerCache(tmp_path / "answers.jsonl")
    resources = Resources(estimator=estimator(), judge=RubricJudge(client))
    reward = TranslationReward({"qe": 1.0, "rubric": 1.0}, resources=resources)
    reward([group(texts=TEXTS[:3])])
    process = resources.estimator._worker.process
    assert process.poll() is None
    reward.close()
    assert process.poll() is not None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(client.cache._file)


def test_a_metric_that_reads_references_says_so(estimator):
    resources = Resources(estimator=estimator(needs_reference=True))
    found = measure("qe", [group()], np.ones((1, 4), bool), resources)
    assert "reads references" in found.reasons[0, 0]
