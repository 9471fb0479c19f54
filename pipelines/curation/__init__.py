"""What `zeroseg curate` chooses by."""
