"""Checkpoints that are trained on first use and found again afterwards, whoever asks and however many at once."""

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

PATIENCE = 1.0  # seconds to wait for another process before saying so


def cache_folder() -> Path:
    """Where checkpoints live: `$RLCORE_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("RLCORE_CACHE") or platformdirs.user_cache_dir("rlcore"))


def cached(name: str, recipe: dict, build: Callable[[Path], None]) -> Path:
    """The folder `name-<key>`, with the key made from the recipe; `build(folder)` fills it if it is not there yet.

    The folder appears whole or not at all: it is written beside its place and moved there. Two processes that ask at
    once build once, and the one that waits says so. A folder whose files do not match its manifest is reported by name
    and built again.
    """
    key = hashlib.sha256(json.dumps([name, recipe], sort_keys=True).encode()).hexdigest()[:12]
    folder = cache_folder() / f"{name}-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if folder.exists():
            problem = _problem(folder)
            if problem is None:
                return folder
            warnings.warn(f"the cached checkpoint {folder} is broken ({problem}); it is built again", stacklevel=2)
            shutil.rmtree(folder)
        fresh = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".tmp", dir=folder.parent))
        try:
            build(fresh)
            _seal(fresh, recipe)
            os.replace(fresh, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only process that builds this folder, and say so where that means waiting for another."""
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        warnings.warn(f"another process is building {folder} right now; waiting for it to finish", stacklevel=4)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _seal(folder: Path, recipe: dict) -> None:
    """Write the manifest (what it is, and a checksum of each file) and flush everything to the disk."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    checksums = {file.relative_to(folder).as_posix(): _digest(file) for file in files}
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({"recipe": recipe, "sha256": checksums}, indent=1) + "\n", encoding="utf-8")
    for file in [*files, manifest]:
        with open(file, "rb+") as handle:
            os.fsync(handle.fileno())


def _problem(folder: Path) -> str | None:
    """What is wrong with a cached folder, or None."""
    try:
        checksums = dict(json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"manifest.json: {type(error).__name__}"
    for name, checksum in checksums.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if _digest(folder / name) != checksum:
            return f"{name} has changed"
    return None
