"""What `zeroseg ablate` trains, and how it reads and scores what was trained."""
