"""Errors as one line in the page."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any

import gradio as gr

from microwright.errors import InputError


def one_line(handler: Callable[..., Any]) -> Callable[..., Any]:
    """A handler whose errors end in one line in the page; what is not the visitor's fault also goes to the terminal."""
    if isgeneratorfunction(handler):

        @wraps(handler)
        def generate(*arguments: Any, **named: Any) -> Iterator[Any]:
            try:
                yield from handler(*arguments, **named)
            except Exception as error:
                raise _told(error) from error

        return generate

    @wraps(handler)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return handler(*arguments, **named)
        except Exception as error:
            raise _told(error) from error

    return call


def _told(error: Exception) -> gr.Error:
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, InputError):
        return gr.Error(str(error), duration=None, title="That cannot be", print_exception=False)
    traceback.print_exception(error)
    line = (str(error).splitlines() or [""])[0][:200]
    return gr.Error(
        f"{type(error).__name__}: {line}; the terminal has the details", duration=None, title="Error in microwright"
    )
