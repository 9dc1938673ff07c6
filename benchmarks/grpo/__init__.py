"""The parts of `benchmarks.grpo_vs_trl`."""
