"""Lines of a user's file as UTF-8 text, gzipped or not; errors say what a file is and how to mend it."""

import difflib
import gzip
import zlib
from pathlib import Path

import polars as pl

from in2x.artifacts import In2xError

_FORMATS = {
    b"PK\x03\x04": "a zip archive: unzip it first",
    b"\x28\xb5\x2f\xfd": "Zstandard data: decompress it first (zstd -d)",
    b"\xfd7zXZ\x00": "xz data: decompress it first (xz -d)",
    b"BZh": "bzip2 data: decompress it first (bzip2 -d)",
    b"PAR1": 'parquet: use kind = "parquet"',
}
_ENCODINGS = {"CP932": "Shift-JIS", "EUC-JP": "EUC-JP"}  # by a name that both Python and iconv know


class CorpusError(In2xError, ValueError):
    """A source that can't be used as a whole; the message says how to mend it."""


def read_lines(path: Path) -> pl.DataFrame:
    """Lines of a UTF-8 file, maybe gzipped: line, raw, and a reason for those that aren't UTF-8.

    Raises:
        CorpusError: no such file, empty, cut short, or as a whole not UTF-8.
    """
    data = _bytes(path)
    try:
        lines, reasons = _split(data.decode()), None
    except UnicodeDecodeError as error:
        lines, reasons = _salvage(path, data, error)
    frame = pl.DataFrame({"raw": lines, "reason": reasons}, schema={"raw": pl.String, "reason": pl.String})
    line = pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
    return frame.select(line.alias("line"), pl.col("raw").str.strip_suffix("\r"), "reason")


def _split(text: str) -> list[str]:
    """Lines that end in LF, CRLF or (in a file without any LF) CR; blank ones at the end don't count."""
    if "\n" not in text:
        text = text.replace("\r", "\n")
    return text.rstrip("\r\n").split("\n")


def _bytes(path: Path) -> bytes:
    check_file(path)
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise CorpusError(f"{path}: gzip data damaged or cut short ({error}); get it again") from error
    elif path.suffix == ".gz" and data:
        raise CorpusError(f"{path}: named .gz, but not gzip data: it starts with {data[:4]!r}; rename it")
    data = data.removeprefix(b"\xef\xbb\xbf")
    for magic, mend in _FORMATS.items():
        if data.startswith(magic):
            raise CorpusError(f"{path}: expected text, but this is {mend}")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in data[:200]:
        raise CorpusError(f"{path}: line 1: expected UTF-8, but this is UTF-16. {_convert(path, 'UTF-16')}")
    if not data.strip():
        raise CorpusError(f"{path}: empty; expected UTF-8 text, one row a line")
    return data


def _salvage(path: Path, data: bytes, error: UnicodeDecodeError) -> tuple[list[str], list[str | None]]:
    """Decode line by line; raise where most lines beyond ASCII aren't UTF-8: it is another encoding."""
    lines, reasons, num_foreign = [], [], 0
    for line in data.rstrip(b"\r\n").split(b"\n"):
        reason = None
        try:
            text = line.decode()
        except UnicodeDecodeError as wrong:
            text = line.decode(errors="replace")
            reason = f"not UTF-8: byte {line[wrong.start]:#04x} at {wrong.start + 1}"
        num_foreign += not line.isascii()
        lines.append(text)
        reasons.append(reason)
    num_wrong = len(reasons) - reasons.count(None)
    if 2 * num_wrong > num_foreign:
        line = data.count(b"\n", 0, error.start) + 1
        byte = error.start - data.rfind(b"\n", 0, error.start)
        looks, name = _guess(data)
        where = f"{path}: line {line}, byte {byte} ({data[error.start]:#04x})"
        raise CorpusError(f"{where}: expected UTF-8{looks}. {_convert(path, name)}") from error
    return lines, reasons


def _guess(data: bytes) -> tuple[str, str]:
    """The encoding that finds most kana in the first lines: what to say about it, and its name."""
    sample = b"\n".join(data.split(b"\n", 2000)[:2000])
    kana = {}
    for encoding in _ENCODINGS:
        text = sample.decode(encoding, errors="replace")
        kana[encoding] = sum("ぁ" <= character <= "ヶ" for character in text) - 5 * text.count("\ufffd")
    best = max(kana, key=kana.get)
    return (f"; it looks like {_ENCODINGS[best]}", best) if kana[best] > 0 else ("", "ITS-ENCODING")


def _convert(path: Path, encoding: str) -> str:
    unzip, file = (f"gzip -dc {path} | ", "") if path.suffix == ".gz" else ("", f" {path}")
    return f"Convert it: {unzip}iconv -f {encoding} -t UTF-8{file} > {path.name.removesuffix('.gz')}.utf8"


def check_file(path: Path) -> None:
    if path.is_dir():
        names = sorted(other.name for other in path.iterdir())[:5]
        raise CorpusError(f"{path}: a folder; expected a file, such as one of {names}")
    if path.exists():
        return
    folder = path.parent
    if not folder.is_dir():
        raise CorpusError(f"{path}: no such file; the folder {folder} doesn't exist either")
    names = sorted(other.name for other in folder.iterdir())
    raise CorpusError(f"{path}: no such file{nearest(path.name, names)}")


def nearest(name: str, names) -> str:
    names = list(names)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    close += [other for other in names if other.lower().startswith(name.lower())]
    return f"; did you mean {close[0]!r}?" if close else ""
