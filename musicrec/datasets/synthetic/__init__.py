"""Generated listening logs in the form of the Yandex Music files: invented names, plausible tastes, published proportions.

They contain no data of real users. The metadata of every file says that it is generated, see `musicrec.datasets.is_generated`.
"""

from musicrec.datasets.synthetic.writing import write

__all__ = ["write"]
