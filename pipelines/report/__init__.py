"""The HTML page of several runs."""
