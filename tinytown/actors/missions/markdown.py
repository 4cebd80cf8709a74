"""The text of an issue as its blocks, without what is not said: code, quotes, comments, what is struck out.

The body comes from strangers. It is cut at GitHub's own limit for a body, and the parser is one that bounds nesting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from markdown_it.token import Token

LONGEST_BODY = 65_536
"""Characters of a body that GitHub takes at most."""

BREAK = "\x00"
"""Stands where something was left out, so that what is around it does not grow together."""

_BOX = re.compile(r"\[([ xX])\](?:[ \t]+|$)")
_SINGLE_TILDES = re.compile(r"(?<!~)~(?!~)[^~\n]+~(?!~)")
_TAG = re.compile(r"<[^<>]*>")
_VERBATIM = re.compile(r"[ \t]*<(?:pre|script|style|textarea|code|blockquote|del|s|strike)\b", re.IGNORECASE)
_STRUCK = re.compile(r"<(/?)(?:del|s|strike|code|kbd|pre)\b[^>]*>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Block:
    """A heading, a paragraph, a cell of a table, or the text of a list item; `text` has its lines.

    `begins_item`: it is the first of a list item. `box`: that has a box to tick; `checked`: it is ticked, or is part
    of an item whose box is.
    """

    text: str
    heading: bool = False
    in_list: bool = False
    begins_item: bool = False
    box: bool = False
    checked: bool = False


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable(["strikethrough", "table"])


def blocks(body: str, keep_address: Callable[[str], bool]) -> Iterator[Block]:
    """The blocks of a body, in their order. A link whose address `keep_address` wants becomes that address."""
    text = body[:LONGEST_BODY].replace("\r\n", "\n").replace("\r", "\n").replace(BREAK, "\ufffd")
    quotes, checked, begins, heading = 0, list[bool](), False, False
    for token in _parser().parse(text):
        match token.type:
            case "blockquote_open":
                quotes += 1
            case "blockquote_close":
                quotes -= 1
            case "list_item_open":
                checked.append(bool(checked and checked[-1]))
                begins = True
            case "list_item_close":
                checked.pop()
                begins = False
            case "heading_open":
                heading = True
            case "heading_close":
                heading = False
            case "inline" | "html_block" if not quotes:
                spoken = _spoken(token, keep_address)
                box = _BOX.match(spoken) if begins else None
                if box is not None:
                    spoken = spoken[box.end() :]
                    checked[-1] |= box[1] != " "
                yield Block(
                    spoken,
                    heading=heading,
                    in_list=bool(checked),
                    begins_item=begins,
                    box=box is not None,
                    checked=bool(checked and checked[-1]),
                )
                begins = False
            case _:
                pass


def _spoken(token: Token, keep_address: Callable[[str], bool]) -> str:
    if token.type == "html_block":
        return "" if _VERBATIM.match(token.content) else _TAG.sub("", without_comments(token.content))
    return _SINGLE_TILDES.sub(BREAK, _inline(token.children or (), keep_address))


def _inline(children: Sequence[Token], keep_address: Callable[[str], bool]) -> str:
    out: list[str] = []
    struck = 0
    in_link = False
    for child in children:
        tag = _STRUCK.fullmatch(child.content) if child.type == "html_inline" else None
        if child.type == "s_open" or (tag is not None and not tag[1]):
            struck += 1
            out.append(BREAK)
        elif child.type == "s_close" or tag is not None:
            struck = max(0, struck - 1)
        elif child.type == "link_open":
            address = str(child.attrGet("href") or "")
            in_link = keep_address(address)
            if in_link and not struck:
                out.append(address)
        elif child.type == "link_close":
            in_link = False
        elif struck or in_link:
            continue
        elif child.type == "text":
            out.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            out.append("\n")
        elif child.type in ("code_inline", "image"):
            out.append(BREAK)
    return "".join(out)


def without_comments(text: str) -> str:
    """The text without HTML comments; one that is not closed reaches to the end."""
    out: list[str] = []
    at = 0
    while (start := text.find("<!--", at)) >= 0:
        out.append(text[at:start])
        end = text.find("-->", start + 4)
        if end < 0:
            return "".join(out)
        at = end + 3
    return "".join([*out, text[at:]])
