"""Recognise words that people bring from other programs: some stand for today's flags, others get a sentence."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from rsuda.core.errors import InputError

COMMANDS = {
    **dict.fromkeys(("train", "fit", "finetune", "fine-tune"), "adapt"),
    **dict.fromkeys(("test", "eval", "val", "validate", "score"), "evaluate"),
    **dict.fromkeys(("infer", "inference", "segment", "map", "classify"), "predict"),
    **dict.fromkeys(("describe", "inspect"), "info"),
    **dict.fromkeys(("convert", "onnx"), "export"),
}
_MORE = {
    "adapt": "; rsuda adapt --method source-only trains without adapting",
    "predict": "; it takes scenes and a --model",
}
FLAGS = {  # other names of a flag, which a command with this flag reads too
    **dict.fromkeys(("--crop", "--crop-size", "--patch-size", "--tile-size", "--imgsz"), "--window"),
    **dict.fromkeys(("--output", "--output-dir", "--out-dir"), "--out"),
    **dict.fromkeys(("--checkpoint", "--ckpt", "--ckpt-path", "--run", "--weights-file"), "--model"),
    **dict.fromkeys(("--learning-rate",), "--lr"),
    **dict.fromkeys(("--backbone",), "--encoder"),
    **dict.fromkeys(("--max-steps", "--iterations"), "--steps"),
    **dict.fromkeys(("--standardize", "--normalize"), "--standardise"),
    **dict.fromkeys(("--colors",), "--colours"),
    **dict.fromkeys(("--regularize",), "--regularise"),
    **dict.fromkeys(("--root", "--data-dir"), "--data"),
    **dict.fromkeys(("--num-workers",), "--workers"),
}
SENTENCES = {
    **dict.fromkeys(
        ("--epochs", "--max-epochs"),
        "training counts optimizer steps and has no epochs: pass --steps, such as --steps 2000",
    ),
    **dict.fromkeys(
        ("--checkpoint", "--ckpt", "--ckpt-path"),
        "pass --start RUN to train from another run's model, or --resume --out RUN to go on with a run",
    ),
    "--classes": "classes are the legend of a domain file: write one by rsuda init FOLDER",
    "--pretrained": "encoder weights are chosen by --weights imagenet, packaged, none or a file",
}


def command_of_today(name: str, commands: Collection[str]) -> str:
    """Check the name of a command. Raises InputError, with the right one, for a word of another program."""
    if name in commands or name.lower() not in COMMANDS:
        return name
    right = COMMANDS[name.lower()]
    raise InputError(f"rsuda has no command '{name}': use rsuda {right}{_MORE.get(right, '')}")


def words_of_today(words: Sequence[str], flags: Collection[str]) -> list[str]:
    """Replace other names of flags by those that a command has, up to a lone '--'."""
    end = list(words).index("--") if "--" in words else len(words)
    return [_today(word, flags) if place < end else word for place, word in enumerate(words)]


def _today(word: str, flags: Collection[str]) -> str:
    flag, sign, value = word.partition("=")
    value = os.path.expanduser(value)  # a shell expands '--out ~/maps', and not '--out=~/maps'
    name = flag.replace("_", "-") if flag.startswith("--") else flag
    name = FLAGS.get(name, name) if name not in flags else name
    return name + sign + value if name in flags else word


def check_words(command: str, words: Sequence[str], flags: Collection[str]) -> None:
    """Raise InputError, with the right flag, where a word is a flag of other programs, or where a value is empty."""
    for before, word in zip(["", *words], words, strict=False):
        flag, sign, value = word.partition("=")
        if not word or (sign and not value and flag in flags):
            raise InputError(_empty(command, flag or before, flags))
        flag = flag.replace("_", "-")
        if flag in flags or word == "--":
            continue
        if word.startswith("-") and os.path.exists(word):
            raise InputError(f"{word} is read as an option: write ./{word} to name the file")
        if flag in SENTENCES and (command == "adapt" or flag != "--epochs"):
            raise InputError(f"rsuda {command} has no option {flag}: {SENTENCES[flag]}")


def _empty(command: str, flag: str, flags: Collection[str]) -> str:
    """Say what is empty. A path of no characters would be the working folder, whose files a command might replace."""
    if flag in flags:
        return f"{flag} is empty: pass a value, or leave it out; perhaps a variable of the shell is not set"
    return f"an argument of rsuda {command} is empty; perhaps a variable of the shell is not set"
