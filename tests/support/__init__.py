"""What tests share: corpora, damaged files, jobs of real processes."""
