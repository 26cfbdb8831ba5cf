"""The pipelines: which component follows which, where they run, and how to compile them or run them here."""
