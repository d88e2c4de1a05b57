"""Tests of the backends, the cache, measuring, the gate and the report."""
