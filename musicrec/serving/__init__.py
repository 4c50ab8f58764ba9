"""Three services over one published run: recommendations, features and events, each a module with a function `create_app`."""
