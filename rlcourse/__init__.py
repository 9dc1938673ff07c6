"""The teaching machinery: it builds the notebooks, checks answers, gives hints and remembers progress.

In a notebook only one name is needed: `from rlcourse import check`.
"""

from rlcourse.exam import check

__all__ = ["check"]
