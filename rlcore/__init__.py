"""Reinforcement learning for language models, small enough to read.

A policy acting in a world leaves a `Trajectory`; estimators turn it into a `Batch`; a loss turns the `Batch` into a
gradient.
"""

__version__ = "0.1.0"
