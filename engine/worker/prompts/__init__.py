"""From the text of a prompt to what a denoiser reads.

syntax.py      weights and parts in a prompt's text; pure
embeddings.py  words that files bring along (textual inversion)
unread.py      what no window has room for
encoder.py     PromptEncoder: text → vectors, in as many windows as it takes
cache.py       what has been encoded lately, in so many bytes
"""
