"""Who keeps the data of a volume."""
