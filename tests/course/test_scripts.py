import pytest

from rlcourse.course import CourseError
from rlcourse.scripts import content_ids, edited_cells, notebooks_of, split_solution
from tests.course.tiny import EXERCISES, LESSON

STUB = 'raise NotImplementedError("Exercise 01.1: …")'


def test_a_solution_is_replaced_at_its_own_indentation():
    source = ("def f(x):\n    if x:\n        ### BEGIN SOLUTION\n        return 1\n\n        # why\n"
              "        ### END SOLUTION\n    return 0")
    shipped, solved = split_solution(source, STUB)
    assert shipped == f"def f(x):\n    if x:\n        {STUB}\n    return 0"
    assert solved == "def f(x):\n    if x:\n        return 1\n\n        # why\n    return 0"
    compile(shipped, "shipped", "exec")


def test_two_solutions_in_one_cell_are_both_replaced():
    block = "{0}### BEGIN SOLUTION\n{0}secret\n{0}### END SOLUTION"
    shipped, _ = split_solution(f"{block.format('')}\nkept\n{block.format('  ')}", STUB)
    assert shipped == f"{STUB}\nkept\n  {STUB}"


@pytest.mark.parametrize("source", [
    "### BEGIN SOLUTION\nx = 1", "x = 1\n### END SOLUTION", "### END SOLUTION\n### BEGIN SOLUTION",
    "### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION",
    "### BEGIN SOLUTION\n### END SOLUTION\n### END SOLUTION",
])
def test_markers_out_of_balance_are_an_error(source):
    with pytest.raises(CourseError, match="SOLUTION"):
        split_solution(source, STUB)


def test_ids_follow_from_content_and_survive_an_insertion():
    cells = [("code", "a"), ("markdown", "a"), ("code", "b"), ("code", "a")]
    ids = content_ids(cells)
    assert len(set(ids)) == 4
    assert ids[3] == f"{ids[0]}-2"
    longer = content_ids([("code", "new"), *cells[:2], ("markdown", "new"), *cells[2:]])
    assert [longer[1], longer[2], longer[4], longer[5]] == ids


def test_exercise_and_solution_share_ids_which_do_not_depend_on_the_solution(source_course):
    books = notebooks_of(source_course().chapter(1))
    ids = [cell.id for cell in books["exercises"].cells]
    assert ids == [cell.id for cell in books["solutions"].cells]
    assert len(set(ids)) == len(ids)
    other = notebooks_of(source_course(exercises=EXERCISES.replace("return 2 * x", "return x + x")).chapter(1))
    assert ids == [cell.id for cell in other["exercises"].cells]


def test_stubs_name_their_exercise_and_tags_are_set_where_they_belong(source_course):
    books = notebooks_of(source_course().chapter(1))
    shipped, solved = ([cell for cell in books[folder].cells if cell.cell_type == "code"]
                       for folder in ("exercises", "solutions"))
    assert 'raise NotImplementedError("Exercise 01.1: \\"Twice\\" as much, γ")' in shipped[1].source
    assert "\n        raise NotImplementedError" in shipped[3].source  # inside the `if`
    assert all("SOLUTION" not in cell.source for cell in shipped + solved)
    assert [cell.metadata.get("tags", []) for cell in shipped] == [
        [], [], ["raises-exception"], [], ["raises-exception"], ["raises-exception"]]
    assert [cell.metadata.get("tags", []) for cell in solved] == [
        [], [], ["nbval-check-output"], [], ["nbval-check-output"], []]
    assert books["chapters"].metadata.kernelspec.name == "python3"


def test_a_stub_that_runs_at_once_may_raise(source_course):
    old = 'def twice(x):\n    """Twice as much."""\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END'
    text = EXERCISES.replace(old, "### BEGIN SOLUTION\ntwice = lambda x: 2 * x\n### END")
    assert text != EXERCISES
    cells = notebooks_of(source_course(exercises=text).chapter(1))["exercises"].cells
    assert cells[2].metadata.tags == ["raises-exception"]


def test_an_edited_cell_is_noticed(source_course):
    book = notebooks_of(source_course().chapter(1))["exercises"]
    assert edited_cells(book) == []
    book.cells[2].source += "\n"
    assert edited_cells(book) == [book.cells[2]]


@pytest.mark.parametrize(("old", "new", "sentence"), [
    ("    ### END SOLUTION\n\n# %%\ncheck(\"01.1\"", "\n# %%\ncheck(\"01.1\"", "cell 3 .*no `### END SOLUTION`"),
    ('# %% exercise="01.1"', "# %%", "needs its number"),
    ('# %% exercise="01.1"', '# %% exercise="01.9"', r"01\.9 has no check"),
    ('# %% exercise="01.1"', '# %% exercice="01.1"', "exercice is unknown"),
    ('check("01.1", twice)', "twice(1)", r"the check of 01\.1 once, but holds it 0 times"),
    ('check("01.1", twice)', 'check("01.2", mean)', r"check of 01\.1 once"),
    ('# %% needs="01.2"', '# %% tags=["raises-exception"]', "let a solution fail unseen"),
    ("from rlcourse import check", 'from rlcourse import check\ncheck("01.7", 3)', r"01\.7, which is not registered"),
    ("    return 2 * x\n", "", None),  # an empty solution is the writer's own affair
    ("    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION", "    return 2 * x", "holds no"),
])
def test_slips_of_a_writer_are_named(source_course, old, new, sentence):
    assert old in EXERCISES
    chapter = source_course(exercises=EXERCISES.replace(old, new, 1)).chapter(1)
    if sentence is None:
        notebooks_of(chapter)
        return
    with pytest.raises(CourseError, match=sentence):
        notebooks_of(chapter)


def test_a_solution_marker_in_a_lesson_is_an_error(source_course):
    with pytest.raises(CourseError, match="a lesson has no solutions"):
        notebooks_of(source_course(lesson=LESSON + "\n# %%\n### BEGIN SOLUTION\n### END SOLUTION\n").chapter(1))


def test_an_exercise_without_outputs_compares_none(source_course):
    text = EXERCISES.replace('# %% needs="01.2"', '# %% needs="01.2" tags=["nbval-check-output", "hide-input"]')
    books = notebooks_of(source_course(exercises=text).chapter(1))
    assert books["exercises"].cells[-1].metadata.tags == ["hide-input", "raises-exception"]
    assert books["solutions"].cells[-1].metadata.tags == ["hide-input", "nbval-check-output"]
