"""One training run: its processes, its folder."""
