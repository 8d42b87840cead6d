"""The command line: one file a verb. Only this room knows typer and rich."""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import Annotated, Any, NoReturn

import typer

from ..errors import ReheadError
from .command import MAX_PIXELS, allow_pixels
from .console import drop_output, flush_output, prepare_streams, say
from .lazy_group import lazy_group

__all__ = ["app", "main"]

_UsageError: Any = typer.BadParameter.__mro__[1]  # typer exports only what derives from it
_FULL = (errno.ENOSPC, errno.EDQUOT)
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it; typer returns it too

app = lazy_group(
    __name__,
    {
        "audit": "Look for what is wrong with photos before training.",
        "train": "Train a classifier on photos, and test it.",
        "extract": "Take features of any number of photos, for training on them.",
        "update": "Add photos and classes to a model, without those that it learnt.",
        "forget": "Take photos or a class out of a model again.",
        "merge": "Join what two models learnt, without their photos.",
        "evaluate": "Test a model file on photos whose classes are known.",
        "predict": 'Name the class of photos, or answer "unknown" and say why.',
        "serve": "Answer over HTTP with model files.",
        "studio": "From photos to a model in the browser.",
        "export": "Write a model file as a script, a web page, or a server's folder.",
        "compare": "Train several networks, and say which is better.",
        "recipes": "List the settings of well-known tutorials.",
        "report": "Write the report of a run again.",
        "explain": "Show where in a photo a model's answer comes from.",
        "similar": "Show the photos of a folder that look most like one photo.",
        "layers": "Show what a layer of a network sees.",
        "augment": "Show what augmentation does to photos.",
        "engines": "List what can take features here, and how fast each is.",
        "faces": "Recognise faces, and say when nobody is known.",
        "keypoints": "Place points on photos: train, evaluate, predict.",
        "show": "Show what a model file says of itself.",
        "check": "Check a model file, and that a runtime gives its answers.",
        "sign": "Sign a model file.",
        "weights": "List, fetch and verify pretrained weights.",
    },
    name="rehead",
    help="Give a pretrained network a new head: image classification you can trust, on the machine you have.",
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__

        say(f"rehead {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[  # noqa: ARG001 - its callback handles it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    max_pixels: Annotated[int | None, MAX_PIXELS] = None,
) -> None:
    """See above; `version` is handled by its callback."""
    allow_pixels(max_pixels)


def main() -> None:
    """Run the command line; a deliberate error becomes one line and exit code 2, a bug a traceback."""
    # processes that are started from here look for no libraries in the working directory either
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    prepare_streams()
    try:
        code = app(standalone_mode=False)  # where it would print errors itself, in several lines
        flush_output()
    except ReheadError as error:
        _fail(str(error), 2)
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            raise SystemExit(2) from None
        _fail(f"{error.format_message().rstrip('.')}; see --help", 2)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except BrokenPipeError:  # the reader has gone, as in `rehead predict ... | head`
        _gone()
    except SystemExit as end:  # what typer makes of it
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        _gone()
    except OSError as error:
        if error.errno not in _FULL:
            raise
        drop_output(sys.stdout)
        place = error.filename or "the standard output"
        _fail(f"{place}: cannot be written ({error.strerror}); choose another place", 2)
    if code == _INTERRUPTED:
        _fail("interrupted; nothing half-written, and what was computed is kept", code)
    raise SystemExit(code)


def _gone() -> NoReturn:
    drop_output(sys.stdout)
    raise SystemExit(0) from None


def _fail(message: str, code: int) -> NoReturn:
    """End with one line, whatever the names in it hold; addresses that were taken for paths as they are."""
    message = re.sub(r"\b(https?|ftp|s3|gs|hf|memory):/(?!/)", r"\1://", message)
    say(f"rehead: {message}", err=True)
    raise SystemExit(code) from None
