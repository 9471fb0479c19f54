"""Facts of the benchmarks: classes, splits, words."""
