"""What a run is: each file defines one `config`."""
