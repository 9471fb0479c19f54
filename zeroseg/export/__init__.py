"""Models as one file that runs without this package's networks: written, checked and run."""
