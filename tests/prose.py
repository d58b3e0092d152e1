"""The prose of the repository, sentence by sentence: docstrings, comments, texts in code, and Markdown.

This module knows no rule about words; tests/test_house.py has the rules.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt

# Emphasis, quotes and brackets may stand before a sentence's first word; they, and footnotes, behind its full stop.
_BEFORE = re.compile(r"[\s*_~\"'`(\[“‘]+")
_END = re.compile(r"(?<=[.!?:])(?:[*_~\"'`)\]”’]|\[\^[\w-]+\])*\s")
_NEXT_PARAGRAPH = re.compile(r"\n\s*\n|\n\s*(?:[-*•]|\d+\.)\s+")


def sentences(path: Path) -> Iterator[str]:
    """All sentences of a file of Python, SQL or Markdown."""
    text = path.read_text("utf-8")
    paragraphs = {".py": of_python, ".sql": of_sql, ".md": of_markdown}[path.suffix](text)
    for paragraph in paragraphs:
        yield from split(paragraph)


def split(paragraph: str) -> Iterator[str]:
    """The sentences of a paragraph, each on one line and without the signs around it. A colon ends one, too."""
    text = " ".join(paragraph.split()) + " "
    ends = [end.end() for end in _END.finditer(text)]
    for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
        sentence = text[start:end].strip(" \"'*_~`”’)]")
        yield sentence[found.end() :] if (found := _BEFORE.match(sentence)) else sentence


def of_python(source: str) -> Iterator[str]:
    """The paragraphs of all texts in a module, docstrings among them, and of its comments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _NEXT_PARAGRAPH.split(node.value)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token for token in tokens if token.type == tokenize.COMMENT]
    yield from _comments([(each.start[0], each.line[: each.start[1]], each.string[1:]) for each in comments])


def of_sql(source: str) -> Iterator[str]:
    """The paragraphs of the comments in a file of SQL."""
    lines = [(number, *line.partition("--")) for number, line in enumerate(source.splitlines())]
    yield from _comments([(number, before, text) for number, before, mark, text in lines if mark])


def _comments(lines: list[tuple[int, str, str]]) -> Iterator[str]:
    """The texts of comments, each of which is its line's number, the code before it, and itself.

    Lines of nothing but comment that follow each other are one text. In SQL each of `in`, `out` and `why` begins one.
    """
    text, last = "", -1
    for number, code, comment in lines:
        if number != last + 1 or code.strip() or re.match(r"\s*(name|in|out|why):", comment):
            yield from _NEXT_PARAGRAPH.split(text)
            text = ""
        text, last = f"{text}\n{comment.strip()}", number
    yield from _NEXT_PARAGRAPH.split(text)


def of_markdown(source: str) -> Iterator[str]:
    """Headings, paragraphs, list items and table cells. A block of code is no prose."""
    for token in MarkdownIt().enable("table").parse(source):
        if token.type == "inline":
            yield token.content
