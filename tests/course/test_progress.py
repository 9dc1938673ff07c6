import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from rlcourse.course import CourseError
from rlcourse.progress import Progress


def test_reading_creates_nothing(tmp_path):
    progress = Progress(tmp_path / "work")
    assert progress.done() == set()
    assert progress.hints("01.2") == 0
    assert not (tmp_path / "work").exists()


def test_what_was_done_is_readable_and_the_first_day_counts(tmp_path):
    progress = Progress(tmp_path)
    progress.mark_started(1)
    progress.mark_done("01.2")
    progress.show_hints("01.2", 2)
    today = date.today().isoformat()
    assert json.loads((tmp_path / "progress.json").read_text(encoding="utf-8")) == {
        "version": 1, "chapters": {"01": {"started": today, "exercises": {"01.2": {"done": today, "hints": 2}}}}}
    text = (tmp_path / "progress.json").read_text(encoding="utf-8").replace(today, "2020-01-01")
    (tmp_path / "progress.json").write_text(text, encoding="utf-8")
    progress.mark_done("01.2")
    assert "2020-01-01" in (tmp_path / "progress.json").read_text(encoding="utf-8")
    progress.forget_answers(1)
    assert progress.done() == set()
    assert progress.hints("01.2") == 2


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"chapters": []}', b'{"chapters": {"01": 3}}',
    b'{"chapters": {"01": {"exercises": {"01.1": true}}}}',
    b'{"chapters": {"01": {"exercises": {"01.1": {"hints": "x"}}}}}',
])
def test_a_corrupt_file_is_reported_and_set_aside(tmp_path, content):
    said, path = [], tmp_path / "progress.json"
    progress = Progress(tmp_path, warn=said.append)
    for number in (1, 2):
        path.write_bytes(content)
        assert progress.done() == set()
        assert (tmp_path / f"progress.json.corrupt-{number}").read_bytes() == content
        assert f"progress.json.corrupt-{number}" in said[-1]
        assert not path.exists()
    progress.mark_done("01.1")
    assert progress.done() == {"01.1"}
    assert len(said) == 2


def test_unknown_fields_are_kept(tmp_path):
    path = tmp_path / "progress.json"
    path.write_text('{"new": [1], "chapters": {"01": {"new": 2, "exercises": {"01.1": {"new": 3}}}}}', encoding="utf-8")
    Progress(tmp_path).mark_done("01.1")
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["new"] == [1]
    assert data["chapters"]["01"]["new"] == 2
    assert data["chapters"]["01"]["exercises"]["01.1"]["new"] == 3


def test_many_notebooks_write_at_once_and_nothing_is_lost(tmp_path):
    ids = [f"{n:02d}.{k}" for n in range(1, 9) for k in range(1, 6)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda exercise_id: Progress(tmp_path).mark_done(exercise_id), ids))
    assert Progress(tmp_path).done() == set(ids)
    assert not list(tmp_path.glob("*.tmp"))


def test_a_crash_while_writing_leaves_the_old_record(tmp_path, monkeypatch):
    progress = Progress(tmp_path)
    progress.mark_done("01.1")

    def crash(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr("rlcourse.progress.json.dump", crash)
    with pytest.raises(OSError, match="no space"):
        progress.mark_done("01.2")
    assert progress.done() == {"01.1"}


def test_a_lock_that_is_never_given_back_gets_a_sentence(tmp_path, monkeypatch):
    from filelock import FileLock

    monkeypatch.setattr("rlcourse.progress.LOCK_TIMEOUT", 0.1)
    with FileLock(tmp_path / ".progress.json.lock"), pytest.raises(CourseError, match="has been writing"):
        Progress(tmp_path).mark_done("01.1")
