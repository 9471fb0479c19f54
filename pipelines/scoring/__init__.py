"""Scores: of which model, counted so that they can be stopped, written and printed."""
