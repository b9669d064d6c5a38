"""What a training made, as a folder that other programs open."""
