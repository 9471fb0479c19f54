"""Seen and unseen classes: every method trained in its stages, scored on one split, and what papers say of the
order of its rows."""
