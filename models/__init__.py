"""The network, its weights, its images and its graphs."""
