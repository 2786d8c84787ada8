"""The command line's own laws: several values after one name, one-line errors, exit codes."""

import pytest

from microwright.cli.main import main, spread


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["design", "--target", "0.5", "0.6"], ["design", "--target", "0.5", "--target", "0.6"]),
        (["design", "--target", "-1", "--count", "3"], ["design", "--target", "-1", "--count", "3"]),
        (
            ["--target", "1", "2", "--out", "a", "--target", "3"],
            ["--target", "1", "--target", "2", "--out", "a", "--target", "3"],
        ),
        (["label", "in.npy", "other"], ["label", "in.npy", "other"]),
    ],
)
def test_several_values_after_one_name(given, read):
    assert spread(given) == read


@pytest.mark.parametrize(
    "arguments",
    [
        ["design"],
        ["design", "--target", "0.65", "--count", "many"],
        ["no-such-command"],
        ["design", "--target", "0.65", "--model", "/nonexistent/model"],
        ["design", "--target", "0.65", "--property", "absorption", "--method", "vae-regression"],
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(arguments, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("microwright: ")
    assert error.count("\n") == 1


def test_help_names_the_commands(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in ("design", "train", "generate", "label", "simulate", "data"):
        assert command in shown
