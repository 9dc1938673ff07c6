"""One module per chapter, `chNN.py`, with one check per exercise. `authoring/README.md` says how to write one."""
