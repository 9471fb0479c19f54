"""The programs that run it: each is one importable function and one `zeroseg` subcommand."""
