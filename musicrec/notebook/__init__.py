"""Execute recommendations.ipynb from first to last cell: `python -m musicrec.notebook --data DIR --out FOLDER`."""
