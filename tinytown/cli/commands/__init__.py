"""What the commands do: each takes its request and the common options, and gives the exit status."""
