"""How well it segments, and what that is compared with."""
