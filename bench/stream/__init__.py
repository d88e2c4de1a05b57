"""The whole path of an image stream: read, normalise, infer, mask, in order, and where the time goes."""
