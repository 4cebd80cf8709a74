"""What the demonstration's mission is about: three issues, the project that they are of, and what agents make of them.

The design says by examples how the code has to behave, and the checks of the project run them. The first version of
the code overlooks one, so that there is something to mend.
"""

from __future__ import annotations

from typing import NamedTuple

REPOSITORY = "demo/auth"
"""What the repository is called at the demonstration's GitHub."""


class Chapter(NamedTuple):
    """An issue, and the file that answers it: its versions, the later ones being repairs of those before."""

    title: str
    body: str
    path: str
    versions: tuple[str, ...]


CHECKS = '''\
"""The checks of this project: the examples of the design, as soon as there is code, and the tests. One line each."""

import doctest
import io
import unittest
from pathlib import Path

DESIGN = Path("docs/auth-api.md")


def examples():
    runner = doctest.DocTestRunner(verbose=False)
    test = doctest.DocTestParser().get_doctest(DESIGN.read_text(), {}, "design", str(DESIGN), 0)
    runner.run(test, out=lambda _: None)
    return runner.failures == 0


def tests():
    found = unittest.defaultTestLoader.discover(".")
    return unittest.TextTestRunner(io.StringIO()).run(found).wasSuccessful()


if DESIGN.exists() and Path("auth.py").exists():
    print("examples:", "passed" if examples() else "failed")
print("tests:", "passed" if tests() else "failed")
'''

_DESIGN = """\
# The authentication API

Three calls. Errors are one exception, `auth.Refused`, whose text is safe to show.

    >>> from auth import Auth
    >>> auth = Auth({"ann": "a long secret"})

## login

Gives a token: 43 url-safe characters made of chance, which say nothing of whom they are for.

    >>> token = auth.login("ann", "a long secret")
    >>> len(token)
    43
    >>> auth.login("ann", "a guess")
    Traceback (most recent call last):
        ...
    auth.Refused: wrong name or password

## who

Says whom a token is for.

    >>> auth.who(token)
    'ann'

## logout

Ends a token, at once and for good.

    >>> auth.logout(token)
    >>> auth.who(token)
    Traceback (most recent call last):
        ...
    auth.Refused: the token is not valid
"""

_CODE = '''\
"""Who may come in: see docs/auth-api.md."""

import hmac
import secrets


class Refused(Exception):
    """The text says why, and is safe to show."""


class Auth:
    """Logins of a table of names and passwords."""

    def __init__(self, passwords):
        self._passwords = dict(passwords)
        self._tokens = {}

    def login(self, name, password):
        """A token for this name."""
        known = self._passwords.get(name, "")
        if not hmac.compare_digest(known.encode(), password.encode()) or not known:
            raise Refused("wrong name or password")
        token = secrets.token_urlsafe(32)
        self._tokens[token] = name
        return token

    def who(self, token):
        """Whom a token is for."""
        if token not in self._tokens:
            raise Refused("the token is not valid")
        return self._tokens[token]

    def logout(self, token):
        """End a token."""
        self._tokens.HOW(token, None)
'''

_TESTS = '''\
"""The edges of auth.Auth, which the examples of the design leave out."""

import unittest

from auth import Auth, Refused


class TestAuth(unittest.TestCase):
    def setUp(self):
        self.auth = Auth({"ann": "a long secret", "bob": ""})

    def test_two_logins_have_two_tokens(self):
        first, second = (self.auth.login("ann", "a long secret") for _ in range(2))
        self.assertNotEqual(first, second)
        self.auth.logout(first)
        self.assertEqual(self.auth.who(second), "ann")

    def test_an_unknown_name_is_told_apart_from_nothing(self):
        for name, password in (("eve", ""), ("ann", ""), ("bob", "")):
            with self.assertRaisesRegex(Refused, "wrong name or password"):
                self.auth.login(name, password)

    def test_a_token_that_was_never_given_is_refused(self):
        with self.assertRaises(Refused):
            self.auth.who("a" * 43)

    def test_to_log_out_twice_is_no_error(self):
        token = self.auth.login("ann", "a long secret")
        self.auth.logout(token)
        self.auth.logout(token)
'''

CHAPTERS = (
    Chapter(
        "Design auth API",
        "Design the authentication API schema.\n\n- Define login/logout endpoints\n- Document token format\n"
        "- Specify error responses\n",
        "docs/auth-api.md",
        (_DESIGN,),
    ),
    Chapter(
        "Implement auth endpoints",
        "Implement the authentication endpoints.\n\nDepends on #1.\n\n- Implement login endpoint\n"
        "- Implement logout endpoint\n- Add token validation\n",
        "auth.py",
        # To look a token up is not to end it.
        (_CODE.replace("HOW", "get"), _CODE.replace("HOW", "pop")),
    ),
    Chapter(
        "Write auth tests",
        "Write comprehensive tests for auth API.\n\nAfter #2.\n\n- Unit tests for token validation\n"
        "- Integration tests for login flow\n- Error case coverage\n",
        "test_auth.py",
        (_TESTS,),
    ),
)
"""The issues, numbered from 1 in this order."""

README = """\
# A demonstration of Tinytown's missions

Three agents worked through three issues here, and their pull requests were reviewed and merged. `git log` tells who did
what; `tt mission status --work --watch`, `tt events` and the files in `.tt/logs` tell how.
"""
