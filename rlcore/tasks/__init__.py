"""Worlds made of text: prompts, data sets and reward functions on strings."""
