"""Stage folders: the manifest that says what made them, atomic writes, and what the next stages may rely on.

A stage's folder holds manifest.json, metrics.jsonl, TensorBoard events and its data. The *fingerprint* is a hash of
everything the result depends on: stage, section, the fingerprints of the input folders, the files that the section
names, and the package's version. A folder whose manifest is complete under the same fingerprint is not made again;
one under another fingerprint is stale and is cleared before the stage starts.
"""

import errno
import fcntl
import hashlib
import itertools
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import in2x
from in2x import distributed

PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "polars", "sacrebleu", "numpy")


class In2xError(Exception):
    """An error that the user can mend: shown without a traceback."""


class Interrupted(In2xError):
    """Ctrl-C or SIGTERM arrived, and what was done is kept: the same command goes on from there."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (file or folder) that takes its place when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _remove(temporary)
    try:
        yield temporary
        if path.is_dir():  # a folder can't be replaced in one step: move the old one aside first
            aside = path.with_name(f".{path.name}.{os.getpid()}.old")
            os.replace(path, aside)
            os.replace(temporary, path)
            _remove(aside)
        else:
            os.replace(temporary, path)
    finally:
        _remove(temporary)


def write_json(path: Path, value) -> None:
    """Write a file of JSON, from the main process."""
    if not distributed.is_main():
        return
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, ensure_ascii=False, indent=1, default=str) + "\n", encoding="utf-8")


def write_parquet(frame, path: Path) -> None:
    """Write a table of polars from the main process, and wait until it is there."""

    def write() -> None:
        with atomic(path) as temporary:
            frame.write_parquet(temporary)

    distributed.on_main(write)


def read_json(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise In2xError(f"{path}: not there; run the stage that writes it first") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise In2xError(f"{path}: not valid JSON ({error}); delete the folder and run the stage again") from None


def link_or_copy(file: Path, to: Path) -> None:
    """Show `file` a second time at `to`: another name of it where the file system can, else a copy."""
    with atomic(to) as temporary:
        try:
            os.link(file, temporary)
        except OSError:
            shutil.copy2(file, temporary)


def fingerprint(stage: str, section: Mapping, inputs: Mapping[str, str], files: Mapping[str, str]) -> str:
    """Hash of all that a stage's result depends on, 16 hexadecimal digits."""
    parts = [in2x.__version__, stage, section, sorted(inputs.items()), sorted(files.items())]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def hash_path(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        digest.update(str(file.relative_to(path)).encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def manifest(folder: Path) -> dict | None:
    """The manifest of a stage folder, or None where the stage has not run."""
    path = folder / "manifest.json"
    return read_json(path) if path.exists() else None


def is_complete(folder: Path, expected: str) -> bool:
    found = manifest(folder)
    return bool(found) and found["status"] == "complete" and found["fingerprint"] == expected


def results(folder: Path) -> dict:
    """What a complete stage reported of itself."""
    found = manifest(folder)
    if not found or found["status"] != "complete":
        raise In2xError(f"{folder}: this stage has not been completed; run it first")
    return found["results"]


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Keep the folder of a run to this process; the lock goes with the process, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            owner = stream.read().strip() or "unknown"
            raise In2xError(
                f"{folder}: process {owner} is at work in this folder; wait until it has ended, or give "
                "this run another folder (--folder=runs/other)"
            ) from None
        stream.truncate(0)
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        yield


def clear(folder: Path) -> None:
    """Remove a stage's folder: out of the way in one step, then bit by bit."""
    if folder.exists():
        aside = folder.with_name(f".{folder.name}.{os.getpid()}.cleared")
        os.replace(folder, aside)
        shutil.rmtree(aside)


def open_stage(folder: Path, stage: str, print_: str, section: Mapping, inputs: Mapping[str, str]) -> None:
    """Prepare a stage's folder: keep what an interrupted run with the same fingerprint left, clear what others left.

    Raises:
        In2xError: the folder holds files that no stage has written.
    """
    found = manifest(folder)
    if found is None and folder.exists() and any(not file.name.startswith(".") for file in folder.iterdir()):
        raise In2xError(f"{folder}: holds files, but no manifest of a stage; move them away, or use another run folder")
    seconds = found["seconds"] if found and found["fingerprint"] == print_ else 0.0
    if found and found["fingerprint"] != print_:
        clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _mend(folder)
    write_json(
        folder / "manifest.json",
        {
            "stage": stage,
            "status": "running",
            "fingerprint": print_,
            "inputs": dict(inputs),
            "section": section,
            "versions": versions(),
            "seed": section.get("seed"),
            "git_commit": git_commit(),
            "machine": machine(),
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": seconds,
            "results": {},
        },
    )


def _mend(folder: Path) -> None:
    """Clean up after a process killed within `atomic`: put back what it had moved aside, drop what it had begun."""
    for aside in list(folder.rglob(".*.old")):
        target = aside.with_name(aside.name[1:].rsplit(".", 2)[0])
        if target.exists():
            _remove(aside)
        else:
            os.replace(aside, target)
    for unfinished in list(folder.rglob(".*.tmp")):
        _remove(unfinished)


@contextmanager
def timed(folder: Path) -> Iterator[None]:
    """Add the time that the block takes, and its peak memory, to the manifest, also when it is interrupted."""
    start = time.monotonic()
    reset_peak_memory()
    try:
        yield
    finally:
        seconds = manifest(folder)["seconds"] + time.monotonic() - start
        update_manifest(folder, seconds=seconds, peak_memory_bytes=peak_memory_bytes())


def reset_peak_memory() -> None:
    """Begin a new peak: on Linux, writing 5 here sets the high-water mark to what the process holds now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # another system, or not allowed: the peak is then that of the whole process
        return


def peak_memory_bytes() -> int:
    """Most resident memory since `reset_peak_memory`; where the system can't tell, since the process began."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def storage_problem(error: BaseException) -> str | None:
    """What a failed write was due to, in words, where it is the user's to mend; libraries hide the number in a text."""
    words = {
        errno.ENOSPC: "no space is left on the disk",
        errno.EDQUOT: "the disk quota is used up",
        errno.EACCES: "permission denied",
        errno.EPERM: "permission denied",
        errno.EROFS: "the file system is read-only",
        errno.EEXIST: "a file is in the way of a folder",
        errno.ENOTDIR: "a file is in the way of a folder",
    }
    number = error.errno if isinstance(error, OSError) else None
    if number is None and "No space left on device" in str(error):
        number = errno.ENOSPC
    return words.get(number)


def damaged_table(error: BaseException, folders: Iterable[Path]) -> Path | None:
    """The first parquet file in these folders that can't be opened, where a library of tables has raised this error."""
    if type(error).__module__.partition(".")[0] not in ("polars", "pyarrow"):
        return None
    import polars as pl

    for file in itertools.chain(*(sorted(folder.glob("*.parquet")) for folder in folders)):
        try:
            pl.read_parquet_schema(file)
        except pl.exceptions.PolarsError:
            return file
    return None


def update_manifest(folder: Path, **values) -> None:
    write_json(folder / "manifest.json", manifest(folder) | values)


def versions() -> dict[str, str]:
    found = {"in2x": in2x.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit of the code in use, with "+" where the tree has changes; None outside a checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def machine() -> dict:
    import psutil

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    torch = sys.modules.get("torch")  # not imported for this: some stages never need it
    found = {
        "cpu": name,
        "num_cores": os.cpu_count(),
        "num_threads": torch.get_num_threads() if torch else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }
    if torch and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def cache_folder() -> Path:
    """Where downloads are kept: $XDG_CACHE_HOME/in2x, by default ~/.cache/in2x."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "in2x"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
