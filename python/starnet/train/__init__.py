"""Training: samples with their truth, augmentation, losses, and what comes out of it."""
