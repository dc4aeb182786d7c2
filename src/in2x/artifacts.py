"""Stage folders: the manifest that says what made them, atomic writes, and what the next stages may rely on.

A stage's folder holds manifest.json, metrics.jsonl, TensorBoard events and its data. The *fingerprint* is a hash of
everything the result depends on: stage, section, the fingerprints of the input folders, the files that the section
names, and the package's version. A folder whose manifest is complete under the same fingerprint is not made again;
one under another fingerprint is stale and is cleared before the stage starts.
"""

import hashlib
import json
import os
import platform
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import in2x

PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "polars", "sacrebleu", "numpy")


class In2xError(Exception):
    """An error that the user can mend: shown without a traceback."""


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
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, ensure_ascii=False, indent=1, default=str) + "\n", encoding="utf-8")


def read_json(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise In2xError(f"{path}: not there; run the stage that writes it first") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise In2xError(f"{path}: not valid JSON ({error}); delete the folder and run the stage again") from None


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


def open_stage(folder: Path, stage: str, print_: str, section: Mapping, inputs: Mapping[str, str]) -> None:
    """Prepare a stage's folder: keep what an interrupted run with the same fingerprint left, clear anything else."""
    found = manifest(folder)
    if found and found["fingerprint"] != print_:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    seconds = found["seconds"] if found and found["fingerprint"] == print_ else 0.0
    write_json(folder / "manifest.json", {
        "stage": stage, "status": "running", "fingerprint": print_, "inputs": dict(inputs), "section": section,
        "versions": versions(), "seed": section.get("seed"), "git_commit": git_commit(), "machine": machine(),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": seconds, "results": {},
    })  # fmt: skip


@contextmanager
def timed(folder: Path) -> Iterator[None]:
    """Add the time that the block takes to the manifest, also when it is interrupted."""
    start = time.monotonic()
    try:
        yield
    finally:
        update_manifest(folder, seconds=manifest(folder)["seconds"] + time.monotonic() - start,
                        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)  # fmt: skip


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
        return subprocess.run(["git", "-C", str(Path(__file__).parent), *arguments],
                              capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # fmt: skip
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
    return {"cpu": name, "num_cores": os.cpu_count(), "memory_bytes": psutil.virtual_memory().total}


def cache_folder() -> Path:
    """Where downloads are kept: $XDG_CACHE_HOME/in2x, by default ~/.cache/in2x."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "in2x"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
