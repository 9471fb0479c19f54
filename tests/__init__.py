"""A package of its own: some distributions install a `tests` too, which processes of a test would find first."""
