"""What is true of training methods and their runs: the rules, and nothing of the world around them."""
