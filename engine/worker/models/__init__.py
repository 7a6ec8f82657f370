"""Families only, one self-contained file each; they never import each other."""
