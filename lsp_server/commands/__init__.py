"""What `fimble` can do: one file a command, each with its arguments, its work and what it prints."""
