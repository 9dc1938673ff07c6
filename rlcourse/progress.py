"""What the reader has done, in one readable file: `work/progress.json`.

    {"version": 1, "chapters": {"01": {"started": "2026-03-01",
                                       "exercises": {"01.2": {"done": "2026-03-02", "hints": 1}}}}}

Several notebooks may write at once, so every change is made under a lock and lands whole or not at all. Fields that
this version does not know are kept.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from rlcourse.course import CourseError

FILE, LOCK_TIMEOUT = "progress.json", 10.0  # seconds to wait for another notebook that is writing


def _to_stderr(sentence: str) -> None:
    print(sentence, file=sys.stderr)


class Progress:
    """The reader's record in the folder `work`. Reading it never creates anything."""

    def __init__(self, work: Path, warn: Callable[[str], None] = _to_stderr):
        self.work, self.path, self.warn = work, work / FILE, warn

    def read(self) -> dict:
        """What is on record; a file that cannot be read is set aside, reported and never deleted."""
        if not self.path.exists():
            return {"version": 1, "chapters": {}}
        with self._lock():
            return self._load()

    def mark_started(self, number: int) -> None:
        """The reader took a copy of this chapter's exercises."""
        with self._change(number) as chapter:
            chapter.setdefault("started", date.today().isoformat())

    def mark_done(self, exercise_id: str) -> None:
        """An exercise was answered rightly; the first day counts."""
        with self._change(int(exercise_id[:2])) as chapter:
            chapter["exercises"].setdefault(exercise_id, {}).setdefault("done", date.today().isoformat())

    def show_hints(self, exercise_id: str, count: int) -> None:
        """Remember that `count` hints of an exercise were shown."""
        with self._change(int(exercise_id[:2])) as chapter:
            chapter["exercises"].setdefault(exercise_id, {})["hints"] = count

    def forget_answers(self, number: int) -> None:
        """The reader begins a chapter's exercises again: nothing in it is done, but its hints stay known."""
        with self._change(number) as chapter:
            for record in chapter["exercises"].values():
                record.pop("done", None)

    def done(self) -> set[str]:
        """The ids of all exercises that are done."""
        return {key for key, record in self._records().items() if "done" in record}

    def hints(self, exercise_id: str) -> int:
        """How many hints of an exercise were shown."""
        return int(self._records().get(exercise_id, {}).get("hints", 0))

    def _records(self) -> dict[str, dict]:
        chapters = self.read()["chapters"].values()
        return {key: record for chapter in chapters for key, record in chapter.get("exercises", {}).items()}

    @contextmanager
    def _change(self, number: int) -> Iterator[dict]:
        """The record of one chapter, to be changed in place and then written."""
        self.work.mkdir(exist_ok=True)
        with self._lock():
            data = self._load()
            chapter = data["chapters"].setdefault(f"{number:02d}", {})
            chapter.setdefault("exercises", {})
            yield chapter
            temporary = self.path.with_name(FILE + ".tmp")
            with temporary.open("w", encoding="utf-8", newline="\n") as file:
                json.dump(data, file, indent=2, ensure_ascii=False)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.work / f".{FILE}.lock", timeout=LOCK_TIMEOUT):
                yield
        except Timeout:
            raise CourseError(f"Another program has been writing {self.path} for {LOCK_TIMEOUT:.0f} seconds. If none "
                              f"is running, delete {self.work / f'.{FILE}.lock'}.") from None

    def _load(self) -> dict:
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            _require_record(data)
            return data
        except FileNotFoundError:
            return {"version": 1, "chapters": {}}
        except (ValueError, TypeError) as error:  # also UnicodeDecodeError and JSONDecodeError
            number = next(n for n in range(1, 10_000) if not self.path.with_name(f"{FILE}.corrupt-{n}").exists())
            aside = self.path.with_name(f"{FILE}.corrupt-{number}")
            os.replace(self.path, aside)
            self.warn(f"The record of your progress could not be read ({error}). It was kept as {aside.name} in the "
                      "folder work, and a new record begins. `rlcourse check` fills it from your answers.")
            return {"version": 1, "chapters": {}}


def _require_record(data: object) -> None:
    """Raise TypeError or ValueError where the file is not what this module writes."""
    if not isinstance(data, dict) or not isinstance(data.get("chapters"), dict):
        raise ValueError("it is not a record of chapters")
    for key, chapter in data["chapters"].items():
        exercises = chapter.get("exercises", {}) if isinstance(chapter, dict) else None
        if not isinstance(exercises, dict) or not all(isinstance(record, dict) for record in exercises.values()):
            raise ValueError(f"the record of chapter {key} is broken")
        if not all(isinstance(record.get("hints", 0), int) for record in exercises.values()):
            raise ValueError(f"the number of hints in chapter {key} is broken")
