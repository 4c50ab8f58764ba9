"""Three services over one published run: recommendations, features and events. `from_settings` makes their apps."""
