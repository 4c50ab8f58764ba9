"""Execute recommendations.ipynb from first to last cell: see `musicrec notebook`."""
