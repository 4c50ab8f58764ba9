"""Listening logs to start with: `sample` and `synthetic` ones, which are `generated`, and `public` ones, which `download` fetches."""
