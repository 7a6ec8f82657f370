"""The Discord side of Fourfold, from the command line down to the database.

cli, app, client      start it, join its parts, speak to Discord
cogs/, views/         commands, and what stands below a message; delivery   job updates → messages
services/             use cases: the one door for commands and buttons
prompting/            text ↔ parameters ↔ requests     rendering/   Pillow     database/   the only SQL
image_store           pictures on disk     texts/      every sentence a user reads
domain/               what things are      settings    the only reader of the environment
playground/           a local stand-in for Discord, apart from all of the above
"""
