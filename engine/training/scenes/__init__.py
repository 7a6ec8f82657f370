"""The world the embedded models know: our own pictures and the words for them.

spec.py       what a scene is made of, which are held out, how scenes are drawn by lot
words.py, captions.py   what everything is called; scene → natural words; the whole vocabulary
labels.py     scene → numbers, one for each question that can be asked of a picture
palette.py, light.py    ten colours, materials, the light of four times of day in seven weathers
pen.py        curves and outlines in a subject's own units
subjects.py   the subjects' table; drawn in beasts.py, creatures.py, small.py, growing.py, buildings.py, vehicles.py, things.py
stage.py      the canvas, its light and its layers;  layout.py: where figures stand
sky.py, weather.py, backdrop.py, places.py   the sky, what falls from it, and ten settings as layers
styles.py     ten media; paints.py, prints.py, texture.py: what each does to a picture
render.py     scene + seed + size → picture
"""
