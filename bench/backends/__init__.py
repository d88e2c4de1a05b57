"""One file per backend: the file is the plugin and its name is the backend's name."""
