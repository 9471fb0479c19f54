"""Scores: of which model, on which images, counted so that they can be stopped, written and printed."""
