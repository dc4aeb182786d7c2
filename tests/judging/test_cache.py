"""The cache: what is kept, under what key, by whom, and what a kill leaves."""

import json
import subprocess
import sys
import threading

import pytest

from in2x.artifacts import In2xError
from in2x.judging.cache import Answer, AnswerCache, request_key

MESSAGES = [{"role": "user", "content": "こんにちは"}]


def _answer(text, **changes):
    return Answer(**{"text": text, "nonce": "ab", "model": "m", "prompt_tokens": 1, "completion_tokens": 2} | changes)


def test_what_is_put_is_got_again_also_by_another_instance(tmp_path):
    path = tmp_path / "folder" / "answers.jsonl"
    cache = AnswerCache(path)
    texts = {"a": "一つ\n目", "b": '{"x": "\u2028"}', "c": "\ud800 half"}
    for key, text in texts.items():
        cache.put(key, _answer(text))
    for reader in (cache, AnswerCache(path)):
        assert {key: reader.get(key) for key in texts} == {key: _answer(text) for key, text in texts.items()}
        assert reader.get("d") is None and len(reader) == 3
    assert path.stat().st_mode & 0o077 == 0


def test_a_line_cut_short_is_counted_and_the_next_answer_begins_anew(tmp_path):
    path = tmp_path / "answers.jsonl"
    cache = AnswerCache(path)
    cache.put("a", _answer("first"))
    cache.put("b", _answer("second"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    mended = AnswerCache(path)
    assert mended.num_corrupt == 1 and mended.get("a").text == "first" and mended.get("b") is None
    mended.put("b", _answer("second again"))
    again = AnswerCache(path)
    assert again.get("b").text == "second again" and again.get("a").text == "first" and again.num_corrupt == 1


@pytest.mark.parametrize(
    "line", ["[]", "{}", '{"key": "x"}', '{"key": 1, "text": "t"}', '{"key": "x", "text": null}', "\x00",
             '{"key": "x", "text": "t", "what": 1}', '{"text": "t"}'],
)  # fmt: skip
def test_foreign_lines_are_counted(tmp_path, line):
    path = tmp_path / "answers.jsonl"
    good = json.dumps({"key": "a", "text": "fine"})
    path.write_text(f"{line}\n{good}\n")
    cache = AnswerCache(path)
    assert cache.num_corrupt == 1 and len(cache) == 1 and cache.get("a") == Answer("fine")


def test_threads_and_processes_write_to_one_file(tmp_path):
    path = tmp_path / "answers.jsonl"
    cache = AnswerCache(path)
    script = (
        "import sys; from pathlib import Path; from in2x.judging.cache import Answer, AnswerCache\n"
        "cache = AnswerCache(Path(sys.argv[1]))\n"
        "[cache.put(f'p{i}', Answer('p' * 5000 + str(i))) for i in range(50)]"
    )
    other = subprocess.Popen([sys.executable, "-c", script, str(path)])

    def write(name):
        for i in range(50):
            cache.put(f"{name}{i}", Answer(name * 5000 + str(i)))
            assert cache.get(f"{name}{i}").text == name * 5000 + str(i)

    threads = [threading.Thread(target=write, args=(name,)) for name in "stuv"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert other.wait(timeout=120) == 0
    found = AnswerCache(path)
    assert found.num_corrupt == 0 and len(found) == 250
    assert all(found.get(f"{name}{i}").text == name * 5000 + str(i) for name in "pstuv" for i in range(50))


def test_a_failure_is_not_kept(tmp_path):
    with pytest.raises(ValueError, match="failure"):
        AnswerCache(tmp_path / "answers.jsonl").put("a", Answer(None, failure="HTTP 500"))


def test_the_key_depends_on_every_part():
    base = ("model", MESSAGES, {"seed": 0, "temperature": 0.0}, "esa-1")
    keys = {
        request_key(*base),
        request_key("other", *base[1:]),
        request_key(base[0], [{"role": "system", "content": "こんにちは"}], *base[2:]),
        request_key(*base[:2], {"seed": 1, "temperature": 0.0}, base[3]),
        request_key(*base[:3], "esa-2"),
    }
    assert len(keys) == 5 and all(len(key) == 64 for key in keys)
    assert request_key(*base[:2], {"temperature": 0.0, "seed": 0}, base[3]) == request_key(*base)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(In2xError, match="--cache"):
        AnswerCache(tmp_path / "file" / "answers.jsonl")
