"""Generated listening logs in the form of the real ones: invented names, plausible taste, published proportions.

Nothing in them comes from a person. Every file carries a mark, see `musicrec.datasets.is_generated`.
"""

from musicrec.datasets.synthetic.writing import write

__all__ = ["write"]
