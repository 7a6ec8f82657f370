"""The world the embedded model knows: our own pictures and the words for them.

spec.py       the five attributes, every combination, which are held out
palette.py    ten colours, materials, the light of four times of day
pen.py        curves and outlines in a subject's own units
subjects.py   the subjects' table; drawn in beasts.py, creatures.py, growing.py, buildings.py, vehicles.py, things.py
stage.py      the canvas, its light and its layers
sky.py, backdrop.py   the sky of four times and six settings as layers
styles.py     five media: watercolor, oil, pixel art, comic, cut paper
render.py     scene + seed + size → picture
captions.py   scene → natural words; the whole vocabulary
"""
