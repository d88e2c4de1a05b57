"""Engines built wrong on purpose, and honest rebuilds: what the rules on accuracy catch, and what they must not."""
