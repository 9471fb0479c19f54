"""The programs that make the data: each writes shards that `zeroseg.data` reads."""
