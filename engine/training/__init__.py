"""How the embedded model was made: `python -m engine.training`."""
