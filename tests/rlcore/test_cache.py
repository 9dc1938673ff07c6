"""Checkpoints that are trained once: whole or not at all, and one builder however many ask."""

import json
import os
import subprocess
import sys

import pytest

from rlcore.lm import cache
from rlcore.lm.cache import cache_folder, cached


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("RLCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Builder:
    """Writes two files, one in a folder, and counts how often it was asked."""

    def __init__(self, error=None):
        self.calls, self.error = 0, error

    def __call__(self, folder):
        self.calls += 1
        (folder / "weights.bin").write_bytes(bytes([self.calls]) * 1000)
        (folder / "inner").mkdir()
        (folder / "inner" / "notes.txt").write_text("é", encoding="utf-8")
        if self.error is not None:
            raise self.error


def leftovers(place):
    return sorted(file.name for file in place.iterdir() if not file.name.endswith(".lock"))


def test_it_is_built_once_and_found_again(place):
    build = Builder()
    folder = cached("thing", {"lr": 0.1, "seed": 0}, build)
    assert folder.parent == place == cache_folder() and folder.name.startswith("thing-")
    assert cached("thing", {"seed": 0, "lr": 0.1}, build) == folder  # the order of a dictionary is no recipe
    assert build.calls == 1
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["recipe"] == {"lr": 0.1, "seed": 0}
    assert set(manifest["sha256"]) == {"weights.bin", "inner/notes.txt"}
    assert leftovers(place) == [folder.name]


def test_another_recipe_or_name_is_another_folder():
    build = Builder()
    folders = {cached(name, {"lr": lr}, build) for name, lr in (("thing", 0.1), ("thing", 0.2), ("other", 0.1))}
    assert len(folders) == build.calls == 3


def lose_a_file(folder):
    (folder / "inner" / "notes.txt").unlink()


def cut_a_file(folder):
    (folder / "weights.bin").write_bytes(b"\x01" * 999)


def flip_a_byte(folder):
    (folder / "weights.bin").write_bytes(b"\x01" * 999 + b"\x02")


def write_manifest(text):
    return lambda folder: (folder / "manifest.json").write_text(text)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lose_a_file, "inner/notes.txt is missing"),
        (cut_a_file, "weights.bin has changed"),
        (flip_a_byte, "weights.bin has changed"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json"),
        *((write_manifest(text), "manifest.json") for text in ("", "{", "[]", "{}", '{"sha256": null}', '"x"')),
        (write_manifest('{"sha256": ["weights.bin"]}'), "manifest.json"),
    ],
)
def test_a_broken_folder_is_named_and_built_again(place, damage, message):
    build = Builder()
    folder = cached("thing", {}, build)
    damage(folder)
    with pytest.warns(UserWarning, match="it is built again") as caught:
        assert cached("thing", {}, build) == folder
    (warning,) = caught
    assert str(folder) in str(warning.message) and message in str(warning.message)
    assert build.calls == 2 and (folder / "weights.bin").read_bytes() == b"\x02" * 1000
    assert cached("thing", {}, build) == folder and build.calls == 2
    assert leftovers(place) == [folder.name]


@pytest.mark.parametrize("error", [RuntimeError("halfway"), KeyboardInterrupt()])
def test_an_interrupted_build_leaves_nothing(place, error):
    with pytest.raises(type(error)):
        cached("thing", {}, Builder(error))
    assert leftovers(place) == []
    build = Builder()
    assert cached("thing", {}, build).is_dir() and build.calls == 1  # and the lock is free again


def test_an_interrupted_repair_leaves_nothing_broken(place):
    folder = cached("thing", {}, Builder())
    cut_a_file(folder)
    with pytest.warns(UserWarning, match="built again"), pytest.raises(RuntimeError):
        cached("thing", {}, Builder(RuntimeError("halfway")))
    assert leftovers(place) == []


def test_without_a_variable_it_is_the_users_cache_folder(monkeypatch):
    monkeypatch.delenv("RLCORE_CACHE")
    assert cache_folder().name == "rlcore" and cache_folder().is_absolute()
    monkeypatch.setenv("RLCORE_CACHE", "")
    assert cache_folder().name == "rlcore"


ASK = """
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("cache", sys.argv[1])  # without the package: no need for Transformers
cache = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cache)

def build(folder):
    with open(sys.argv[2], "a") as log:
        log.write("built\\n")
    time.sleep(0.5)
    (folder / "weights.bin").write_bytes(b"x")

print(cache.cached("thing", {}, build))
"""


def test_two_processes_that_ask_at_once_build_once(place, tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-c", ASK, cache.__file__, str(log)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) for _ in range(2)]
    answers = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert log.read_text() == "built\n"
    assert answers == {str(place / leftovers(place)[0])} and len(leftovers(place)) == 1
