"""What containers ask of volumes: Docker's container files, and the mounts that a runtime is to make of them."""
