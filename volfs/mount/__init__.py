"""The kernel's mount table: what is mounted, and how to change it."""
