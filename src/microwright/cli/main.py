"""``microwright``: the command line. Each command is a file of this folder and calls what the Python API offers."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence

import typer

from microwright.cli import data, generate
from microwright.cli.bench import bench_app
from microwright.cli.design import design_command
from microwright.cli.improve import improve_command
from microwright.cli.label import label_command
from microwright.cli.simulate import simulate_command
from microwright.cli.studio import studio_command
from microwright.cli.train import train_command
from microwright.errors import InputError

#: options that take several values after one name, as in ``--target 0.55 0.60``
SEVERAL = ("--target",)
#: what the parser raises on bad usage; newer versions of Typer keep it in a module of their own
UsageError: type[Exception] = typer.BadParameter.__mro__[1]
USER_ERROR = 2
INTERRUPTED = 130

app = typer.Typer(
    name="microwright",
    help="Which microstructure does what I need? Target properties in, verified structures out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("design")(design_command)
app.command("train")(train_command)
app.command("improve")(improve_command)
app.command("label")(label_command)
app.command("simulate")(simulate_command)
app.command("studio")(studio_command)
app.add_typer(generate.app, name="generate")
app.add_typer(data.app, name="data")
app.add_typer(bench_app, name="bench")


def run() -> None:
    """Entry point: bad input ends in one line on the error stream and exit code 2."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run the command line on ``arguments`` and return its exit code."""
    try:
        result = app(spread(arguments), standalone_mode=False)
        return result if isinstance(result, int) else 0
    except InputError as error:
        return _complain(str(error), USER_ERROR)
    except UsageError as error:
        message = getattr(error, "format_message", error.__str__)()
        return _complain(f"{message.rstrip('.')}; see `microwright --help`", USER_ERROR)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted; run the same command again to continue", INTERRUPTED)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
            raise
        return _complain(
            f"{error.filename or 'output'}: {error.strerror}; free some space or choose another folder", USER_ERROR
        )


def spread(arguments: Sequence[str]) -> list[str]:
    """``--target a b`` as ``--target a --target b``, which is how the parser takes several values."""
    result: list[str] = []
    option = ""
    for argument in arguments:
        if argument.startswith("-") and not _is_number(argument):
            option = argument if argument in SEVERAL else ""
        elif option and result[-1] != option:
            result.append(option)
        result.append(argument)
    return result


def _is_number(argument: str) -> bool:
    try:
        float(argument)
    except ValueError:
        return False
    return True


def _complain(message: str, code: int) -> int:
    print(f"microwright: {message}", file=sys.stderr)
    return code
