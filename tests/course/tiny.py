"""The sources of a course of one small chapter."""

from rlcourse.course import open_course

LESSON = '''# %% [markdown]
# # 01 · The loop
# A lesson.

# %%
import random
random.seed(0)

# %% tags=["nbval-check-output"]
print("ok")
'''

EXERCISES = '''# %% [markdown]
# # Exercises

# %%
from rlcourse import check

# %% exercise="01.1"
def twice(x):
    """Twice as much."""
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION

# %%
check("01.1", twice)

# %% exercise="01.2"
def mean(xs):
    total = 0
    if xs:
        ### BEGIN SOLUTION
        for x in xs:
            total += x
        ### END SOLUTION
    return total / len(xs)

# %%
check("01.2", mean)

# %% needs="01.2"
print(mean([1, 2]))
'''

CHECKS = '''
from rlcourse.exam import call, exercise, expect

@exercise("01.2", title="The mean", hints=["Add.", "Divide.", "sum(xs) / len(xs)"])
def check_mean(fn):
    expect(call(fn, [1.0, 2.0, 6.0]), 3.0, mistakes={"sum": (9.0, "You did not divide.")})

@exercise("01.1", title='"Twice" as much, γ', hints=["Add it to itself."])
def check_twice(fn):
    expect(call(fn, 3), 6, mistakes={"square": (9, "You squared.")})
'''


def write_sources(root, lesson=LESSON, exercises=EXERCISES):
    (root / "authoring/01_the_loop").mkdir(parents=True, exist_ok=True)
    (root / "rlcourse/checks").mkdir(parents=True, exist_ok=True)
    (root / "authoring/01_the_loop/lesson.py").write_text(lesson, encoding="utf-8")
    if exercises is not None:
        (root / "authoring/01_the_loop/exercises.py").write_text(exercises, encoding="utf-8")
    (root / "rlcourse/checks/ch01.py").write_text(CHECKS, encoding="utf-8")
    return open_course(root)
