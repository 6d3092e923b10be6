"""What is wrong with a root, what it means, and what to do about it."""
