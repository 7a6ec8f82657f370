"""Alembic's migrations, run at start-up by `bot.database`. A package, so that they are installed with the program."""
