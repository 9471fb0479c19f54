"""What `zeroseg segment` consists of."""
