"""Tests of the suite itself, on the CPU and in seconds, folder by folder as the code is."""
