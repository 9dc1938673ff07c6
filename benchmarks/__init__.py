"""rlcore beside its peers, and sweeps too long for a lesson: see README.md in this folder."""
