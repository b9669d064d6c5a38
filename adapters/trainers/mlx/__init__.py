"""The trainers on MLX, and what they share."""
