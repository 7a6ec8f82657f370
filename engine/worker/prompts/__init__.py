"""From the text of a prompt to what a denoiser reads.

syntax.py    weights and parts in a prompt's text; pure
"""
