"""`rlcourse demo`: what it writes, what it shows, and that stopping it loses nothing."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from rlcourse.cli import app
from rlcourse.course import ROOT_VARIABLE

QUICK = ["--steps", "6"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A course without chapters; the demo needs a place for its files only."""
    (tmp_path / "authoring").mkdir()
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def demo(*args, code=0):
    result = CliRunner().invoke(app, ["demo", *map(str, args)])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    assert "Traceback" not in result.output
    return result.output


def measured(home, *args):
    demo(*args, "--json", home / "out.json")
    return json.loads((home / "out.json").read_text(encoding="utf-8"))


@pytest.fixture
def quick_looks(monkeypatch):
    monkeypatch.setattr("rlcourse.demo.LOOK_EVERY", 3)


def test_it_measures_before_and_after_and_the_same_seed_gives_the_same_history(home, quick_looks):
    report = measured(home, *QUICK)
    assert 0.5 < report["before"] < 0.9  # the base: half of its sampled answers are right, more of its greedy ones
    assert report["after"] == report["history"][-1]["accuracy"]
    assert report["after"] * 500 == pytest.approx(round(report["after"] * 500))  # a share of 500 problems
    assert report["steps"] == len(report["history"]) == 6
    assert report["seconds"] > 0
    assert [row["step"] for row in report["history"]] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in report["history"] if "accuracy" in row] == [3, 6]
    assert measured(home, *QUICK)["history"] == report["history"]
    other = measured(home, *QUICK, "--seed", 1)
    assert other["history"] != report["history"]
    assert other["before"] == report["before"]  # one starting point for every seed


def test_it_leaves_a_picture_and_a_model_that_transformers_can_load_and_that_it_takes_itself(home, quick_looks):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    first = measured(home, *QUICK)
    folder = home / "work/demo/seed-0"
    assert (home / "work/demo/seed-0.png").read_bytes().startswith(b"\x89PNG")
    assert AutoModelForCausalLM.from_pretrained(folder).config.n_layer == 4
    assert AutoTokenizer.from_pretrained(folder)("1+2=").input_ids
    assert measured(home, *QUICK, "--model", folder)["before"] == first["after"]


@pytest.mark.parametrize(("seconds", "steps"), [(0.0, [1, 2, 3, 4, 5, 6]), (1e9, [1, 6])])
def test_without_a_terminal_it_says_plainly_how_far_it_is(home, monkeypatch, seconds, steps):
    monkeypatch.setattr("rlcourse.bars.PLAIN_EVERY", seconds)
    lines = [line for line in demo(*QUICK).splitlines() if line.startswith("GRPO ")]
    assert [line.split()[1].rstrip(",:") for line in lines] == [f"{step}/6" for step in steps]
    assert all("reward 0." in line and "held-out" in line and "dead " in line for line in lines)
    assert "tokens/s" in lines[-1]


def test_the_table_is_chosen_by_what_was_wrong_before():
    from rlcourse.demo_view import chosen_rows

    assert chosen_rows([True, False] * 10) == [1, 3, 5, 7, 9, 11, 13, 15, 0, 2, 4, 6]
    assert chosen_rows([False, True, True]) == [0, 1, 2]  # fewer of each are all of them
    assert chosen_rows([]) == []


def test_the_table_says_how_it_was_chosen_and_fits(home):
    lines = demo(*QUICK).splitlines()
    begin = next(number for number, line in enumerate(lines) if "the first 8 that it got wrong" in line)
    rows = [line for line in lines[begin:] if "=" in line and line.startswith("│")]
    assert [row.split("│")[2].strip()[-1] for row in rows] == ["✗"] * 8 + ["✓"] * 4
    assert "never" in "".join(lines[:begin])
    assert all(len(line) <= 80 for line in lines if str(home) not in line)


@pytest.mark.parametrize("width", [80, 60, 45])
def test_the_bar_fits_eighty_columns_and_loses_nothing_in_fewer(width):
    from rich.console import Console

    from rlcourse.bars import progress_bar
    from rlcourse.demo_view import Watch

    console = Console(width=width, force_terminal=True, color_system=None)
    row = {"step": 0, "num_tokens": 0, "reward": 0.5, "frac_reward_zero_std": 0.25}
    with console.capture() as seen, progress_bar("GRPO", 300, console) as bar:
        watch = Watch(bar, lambda: 0.85, 20, 0.75)
        for step in (1, 120):
            watch(row | {"step": step, "num_tokens": 400 * step})
    shown = seen.get().rsplit("GRPO", 1)[1]
    assert "…" not in seen.get()
    assert "120/300 --:--" in shown
    assert "reward 0.50 held-out 85% dead 25% " in " ".join(shown.split())
    assert (shown.count("\n") == 1) == (width == 80)  # one line, or several


def interrupt(args, until, home):
    """Run the demo as a reader does, press Ctrl-C once it says `until`, and return its code and what it printed."""
    command = [sys.executable, "-c", "from rlcourse.cli import main; main()", "demo", *map(str, args)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
                               env=os.environ | {"PYTHONIOENCODING": "utf-8"}, cwd=home)
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith(until):
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            break
    said += process.stdout.readlines()
    return process.wait(timeout=60), "".join(said)


@pytest.mark.skipif(os.name == "nt", reason="a test cannot press Ctrl-C for another process on Windows")
def test_ctrl_c_saves_and_shows_what_there_is_and_resuming_is_as_if_nothing_had_happened(home):
    steps = ["--steps", 60]
    code, output = interrupt([*steps, "--json", "part.json"], "GRPO 1/60", home)
    assert code == 0, output
    part = json.loads((home / "part.json").read_text(encoding="utf-8"))
    assert 1 <= part["steps"] < 60, output
    assert f"stopped after {part['steps']} steps" in output
    assert "--resume" in output
    assert "the first 8 that it got wrong" in output
    assert (home / "work/demo/seed-0.png").exists()
    resumed = measured(home, *steps, "--resume")
    assert resumed["history"][: part["steps"]] == part["history"]
    uninterrupted = measured(home, *steps)
    for field in ("before", "after", "steps", "history"):
        assert resumed[field] == uninterrupted[field], field  # bit for bit


def test_ctrl_c_in_the_warm_up_says_that_nothing_was_changed(home, monkeypatch):
    def pressed(progress):
        progress({"step": 0, "accuracy": 0.1})
        raise KeyboardInterrupt

    monkeypatch.setattr("rlcourse.demo.addition_base", pressed)
    assert "Stopped before GRPO began" in demo(*QUICK, code=130)


def test_a_finished_run_can_be_resumed_and_changes_nothing(home):
    first = measured(home, *QUICK)
    again = measured(home, *QUICK, "--resume")
    assert again["history"] == first["history"]
    assert again["after"] == first["after"]


def test_what_cannot_be_resumed_gets_a_sentence(home):
    assert "There is nothing to resume" in demo(*QUICK, "--resume", code=2)
    demo(*QUICK)
    saved = home / "work/demo/seed-0.safetensors"
    assert "steps is 6 there and 7 here" in demo("--steps", 7, "--resume", code=2)
    whole = saved.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"x" * 100):
        saved.write_bytes(broken)
        assert "seed-0.safetensors is damaged or truncated" in " ".join(demo(*QUICK, "--resume", code=2).split())
    saved.write_bytes(whole)
    demo(*QUICK, "--resume")
    # another model's run is another run, also where seed and sizes are the same
    assert "There is nothing to resume" in demo(*QUICK, "--model", home / "work/demo/seed-0", "--resume", code=2)


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:9"])
def test_a_hub_name_without_a_network_fails_at_once_with_a_sentence(home, monkeypatch, endpoint):
    if endpoint:  # offline, and not told so: nobody answers on this machine
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
    demo("--model", "./warm-up", code=2)  # imports
    start = time.perf_counter()
    output = demo("--model", "no-such-name-anywhere", code=2)
    assert time.perf_counter() - start < 5
    sentence = output.strip().splitlines()[-1]
    assert "'no-such-name-anywhere' is neither a folder nor in the local cache" in sentence
    assert ("127.0.0.1 cannot be reached" if endpoint else "HF_HUB_OFFLINE") in sentence


def test_a_folder_that_holds_no_model_gets_a_sentence(home):
    assert "there is no folder" in demo("--model", "./nothing", code=2)
    assert "there is no folder" in demo("--model", home / "nothing", code=2)
    (home / "empty").mkdir()
    assert "holds no model that can be loaded" in demo("--model", home / "empty", code=2)


def test_a_model_that_was_cut_off_gets_a_sentence(home):
    demo(*QUICK)
    weights = home / "work/demo/seed-0/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "holds no model that can be loaded" in demo("--model", weights.parent, code=2)


def test_measurements_that_cannot_be_written_are_refused_before_training(home):
    (home / "file").write_text("", encoding="utf-8")
    for target in (home, home / "file" / "out.json"):
        assert "cannot be written" in demo(*QUICK, "--json", target, code=2)
    assert not (home / "work").exists()


@pytest.fixture
def cheap_base(home, monkeypatch):
    """A cache of one's own, and a base that is not trained: an instant."""
    monkeypatch.setenv("RLCORE_CACHE", str(home / "cache"))
    monkeypatch.setattr("rlcore.lm.base.addition_sft", lambda *args: None)
    demo("--steps", 1)
    return next(path for path in (home / "cache").iterdir() if path.is_dir())


@pytest.mark.parametrize("name", ["model.safetensors", "manifest.json", "tokenizer.json"])
def test_a_broken_cache_is_named_and_built_again(cheap_base, name):
    (cheap_base / name).write_bytes(b"broken")
    output = demo("--steps", 1)
    assert f"Note: the cached checkpoint {cheap_base} is broken ({name}" in output
    assert "built again" in output
    assert "Note" not in demo("--steps", 1)


def test_whoever_waits_for_another_process_says_so(cheap_base, monkeypatch):
    held, waiting = threading.Event(), threading.Event()

    class Watched(FileLock):
        """Says when somebody waits for as long as it takes."""

        def acquire(self, timeout=None, **options):
            if timeout is None:
                waiting.set()
            return super().acquire(timeout, **options)

    def other():
        with FileLock(f"{cheap_base}.lock"):
            held.set()
            waiting.wait(60)  # not some seconds: however slow the machine is, the lock is there when it is asked for

    monkeypatch.setattr("rlcore.lm.cache.FileLock", Watched)
    monkeypatch.setattr("rlcore.lm.cache.PATIENCE", 0.05)
    threading.Thread(target=other).start()
    assert held.wait(5)
    output = demo("--steps", 1)
    assert f"Note: another process is building {cheap_base} right now; waiting for it to finish" in output
