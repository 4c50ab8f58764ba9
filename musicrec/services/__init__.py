"""The three services as processes of this machine: `python -m musicrec.services` starts them and keeps them."""
