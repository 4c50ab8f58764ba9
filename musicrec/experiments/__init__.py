"""Experiments: who is served by which variant (assignment, file), and what the variants brought (attribution, analysis)."""
