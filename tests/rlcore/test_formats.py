"""Data sets of text: what is wrong with them is said with its row, and they survive a file."""

import pytest
from datasets import Dataset

from rlcore.tasks.assistant import assistant_prompts
from rlcore.tasks.assistant_corpus import assistant_corpus, assistant_demonstrations
from rlcore.tasks.formats import check_columns, check_rows, load_jsonl, save_jsonl

PAIR = {"prompt": ["a", "b"], "chosen": ["c", "d\n\u2028é中 \"'"], "rejected": ["e", "f"]}


@pytest.mark.parametrize("make", [
    lambda: assistant_prompts("held_out"), lambda: assistant_corpus(20), lambda: assistant_demonstrations(20),
    lambda: Dataset.from_dict(PAIR), lambda: Dataset.from_dict({"prompt": ["a"], "answer": [3], "weight": [0.1]}),
])  # fmt: skip
def test_every_format_survives_the_round_trip(tmp_path, make):
    dataset, path = make(), tmp_path / "data.jsonl"
    save_jsonl(dataset, path)
    again = load_jsonl(str(path))
    assert again[:] == dataset[:] and again.column_names == dataset.column_names
    assert len(path.read_bytes().strip().split(b"\n")) == len(dataset)
    assert [file.name for file in tmp_path.iterdir()] == ["data.jsonl"]  # nothing half done lies about
    theirs = Dataset.from_json(str(path), cache_dir=str(tmp_path / "cache"))  # what everybody else reads it with
    assert theirs[:] == dataset[:]


@pytest.mark.parametrize(("columns", "problem"), [
    ({"prompt": ["a", ""]}, "row 1: prompt is empty: ''"),
    ({"prompt": ["a"], "completion": ["\n"]}, r"row 0: completion is empty: '\\n'"),
    ({"text": ["a", "b", " "]}, "row 2: text is empty: ' '"),
    ({"prompt": ["a", None]}, "row 1: prompt must be a text, but is None"),
    ({"prompt": [7]}, "row 0: prompt must be a text, but is 7"),
    ({"prompt": ["a"] * 2, "chosen": ["c", "d"], "rejected": ["e", "d "]},
     "row 1: chosen and rejected are the same text, 'd': there is nothing to prefer"),
    ({"prompt": []}, "is empty"),
])  # fmt: skip
def test_a_row_that_is_none_is_named_also_before_it_is_written(tmp_path, columns, problem):
    dataset = Dataset.from_dict(columns)
    with pytest.raises(ValueError, match=f"data(, | ){problem}"):
        check_rows(dataset, name="data")
    with pytest.raises(ValueError, match=problem):
        save_jsonl(dataset, tmp_path / "data.jsonl")
    assert not list(tmp_path.iterdir())


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"data must have the columns 'prompt', 'answer', but has \['prompt'"):
        check_columns(Dataset.from_dict(PAIR), "prompt", "answer", name="data")
    check_columns(Dataset.from_dict(PAIR), "chosen")


GOOD = '{"prompt": "a", "chosen": "b", "rejected": "c"}'


@pytest.mark.parametrize(("line", "problem"), [
    (GOOD[:-4], r"this is no JSON \(.*\): \{\"prompt\": \"a\""),
    ("[1, 2]", r"a row must be a JSON object with columns, but is \[1, 2\]"),
    ("{}", "a row must be a JSON object with columns, but is {}"),
    ('{"prompt": "a", "chosen": "b"}', r"the columns are \['prompt', 'chosen'\], but line 1 has \['prompt'"),
    ('{"prompt": "a", "chosen": "b", "rejected": "b"}', "chosen and rejected are the same text, 'b'"),
    ('{"prompt": "a", "chosen": "", "rejected": "b"}', "chosen is empty: ''"),
    ('{"prompt": "a", "chosen": 1, "rejected": "b"}', "chosen must be a text, but is 1"),
])  # fmt: skip
def test_a_broken_line_is_named_by_file_and_number(tmp_path, line, problem):
    path = tmp_path / "data.jsonl"
    path.write_text(f"{GOOD}\n\n{line}\n{GOOD}\n", encoding="utf-8")  # an empty line counts, and does no harm
    with pytest.raises(ValueError, match=f"data.jsonl, line 3: {problem}"):
        load_jsonl(path)
    path.write_text(f"{GOOD}\n\n{GOOD}\n", encoding="utf-8")
    assert len(load_jsonl(path)) == 2


def test_no_file_and_no_row_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*nowhere\.jsonl"):
        load_jsonl(tmp_path / "nowhere.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ValueError, match=r"empty\.jsonl is empty"):
        load_jsonl(tmp_path / "empty.jsonl")
