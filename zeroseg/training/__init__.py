"""What the student is asked for, and how it gets there."""
