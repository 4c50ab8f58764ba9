"""A music recommender: listening logs in, evaluated and published recommendations out, three services that answer with them."""

__version__ = "0.1.0"
