"""What a person or a tool may ask of a town; every face calls these functions and nothing else."""
