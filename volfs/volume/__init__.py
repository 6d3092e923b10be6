"""What a volume is and how it changes."""
