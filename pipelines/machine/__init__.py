"""What this machine has, and what of it would slow a program down or stop it."""
