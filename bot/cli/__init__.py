"""The `fourfold` command.

    play      the bot in a local stand-in for Discord, with the embedded model
    run       the bot on Discord
    imagine   one job in the terminal, without Discord or a database
    doctor    what is wrong with this installation, and how to mend it
    models    the models that are here
    bench     the engine beside plain diffusers, measured on this machine

Each command is one module, imported when it is called: what needs no tensors answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from pydantic import ValidationError

from bot.errors import StartupError
from bot.settings import Settings, unknown_setting_sentence, unknown_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 (it failed, with a sentence on stderr), 2 (usage), 130 (Ctrl-C)
    or 141 (nobody reads what it prints).
    """
    _speak_utf8()
    parser = _parser()
    words = list(sys.argv[1:] if argv is None else argv)
    arguments, rest = parser.parse_known_args(words)
    if rest and arguments.command != "imagine":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.rest = rest
    if rest and words.index(rest[0]) < words.index(arguments.prompt):
        parser.error('the prompt comes first: fourfold imagine "PROMPT" --seed 3')
    try:
        # Inside, because the imports of some commands take seconds, and Ctrl-C may come meanwhile.
        command = importlib.import_module(f"bot.cli.{arguments.command}")
        settings = _read_settings()
        if arguments.command != "doctor":  # It says so among the rest.
            for name, nearest in unknown_settings().items():
                print(f"fourfold: {unknown_setting_sentence(name, nearest)}", file=sys.stderr)
        status = int(command.main(arguments, settings))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # `fourfold models | head -1` has read enough; whatever is left is flushed once more at exit. A pipe or socket of
        # the command's own is another matter.
        if not _reader_is_gone():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except StartupError as error:
        print(f"fourfold: {error}", file=sys.stderr)
        return 1
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            name = name if name.startswith(("FOURFOLD_", "DISCORD_")) else f"FOURFOLD_{name}"
            print(
                f"fourfold: the setting {name} is wrong: {problem['msg']} (got {problem['input']!r}).",
                file=sys.stderr,
            )
        return 1
    except KeyboardInterrupt:
        # Everything of ours is closed by now. A thread that loads a model may be deep in native code, which aborts the
        # process when the interpreter is taken down around it.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)


def _read_settings() -> Settings:
    try:
        return Settings()
    except UnicodeDecodeError as error:
        raise StartupError(
            f"The file .env is not written in UTF-8: {error.reason} at byte {error.start}. Save it as UTF-8; where PowerShell "
            "wrote it, with Set-Content -Encoding utf8."
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fourfold",
        description="A Midjourney-style Discord bot that runs on your own GPU.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fourfold {version('fourfold')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    play = commands.add_parser(
        "play",
        help="open the bot in a local stand-in for Discord: no token, no GPU, no download",
        allow_abbrev=False,
    )
    play.add_argument(
        "--port", type=_port, default=8490, help="first port to try; a busy one means the next (%(default)s)"
    )
    play.add_argument(
        "--reset", action="store_true", help="forget the channel, its pictures and its history first"
    )

    commands.add_parser("run", help="run the bot on Discord (needs DISCORD_TOKEN)", allow_abbrev=False)

    imagine = commands.add_parser(
        "imagine",
        help="make one grid in the terminal",
        description="Make one grid. Parameters such as --seed, --ar and --no stand inside the prompt or after it.",
        usage='fourfold imagine "PROMPT" [--ar W:H] [--seed N] [--no a, b] [--n 1-4] -o FILE [--json]',
        allow_abbrev=False,
    )
    imagine.add_argument("prompt", help="what to draw, in quotes")
    imagine.add_argument(
        "-o", "--output", default="grid.png", help="PNG, JPEG or WebP file to write (%(default)s)"
    )
    imagine.add_argument("--json", action="store_true", help="print what was made as JSON")

    commands.add_parser(
        "doctor", help="check token, database, folders, device and models", allow_abbrev=False
    )
    commands.add_parser("models", help="list the models that are here", allow_abbrev=False)

    bench = commands.add_parser(
        "bench",
        help="measure the engine beside plain diffusers pipelines",
        description="Measure the configured model in the engine and in plain diffusers pipelines, with a bot running"
        " beside. It wants the machine for itself: about ten minutes on two CPU cores.",
        allow_abbrev=False,
    )
    bench.add_argument(
        "-o", "--output", default="bench", help="folder for bench.json and bench.png (%(default)s)"
    )
    bench.add_argument(
        "--jobs",
        type=_jobs,
        default=32,
        help="jobs of the mix, at least 8; grids are a third as many (%(default)s)",
    )
    bench.add_argument("--alone", action="store_true", help="run no bot beside the engine")
    return parser


def _reader_is_gone() -> bool:
    """A flush alone does not tell: of unbuffered output nothing is left to flush."""
    try:
        print(flush=True)
    except BrokenPipeError:
        return True
    return False


def _speak_utf8() -> None:
    """Prompts and sentences hold more than a redirected Windows console's own code page can."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")


def _jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 8:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of jobs (8 or more)")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to 65535)")
    return int(text)
