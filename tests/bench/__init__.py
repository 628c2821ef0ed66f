"""The benchmark: `make bench`, or `python -m tests.bench --only net` for a part of it."""
