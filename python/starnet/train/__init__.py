"""Training of networks: `starnet train`."""
