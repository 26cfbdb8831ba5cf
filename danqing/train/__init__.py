"""Training: the one loop, the losses, and the three trainings that use them."""
