"""Backends, the engine cache, measuring, baselines, the gate, the report and the benchmark tests."""
