"""One file per command of `python -m bench`, found by listing this folder: `configure(parser)` and `run(options)`."""
