"""Input broken at random, and whether each case ends in a right value, a named loss or one line.

uv run python -m benchmarks.odd_input --cases 10000 --seed 0
"""
