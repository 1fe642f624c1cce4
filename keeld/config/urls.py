"""URLs in the configuration: sound, and free of secrets, because they show in logs and messages."""

from __future__ import annotations

import urllib.parse

from keeld.config.addresses import AddressError, parse_host_port
from keeld.text import clean


class UrlError(Exception):
    """A URL that cannot be used: what is wrong, without repeating what may be secret, and the remedy.

    Never leaves config.
    """

    def __init__(self, wrong: str, remedy: str) -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.remedy = remedy


def check_url(url: str, schemes: frozenset[str]) -> None:
    """Refuse a URL with another scheme, a login, blanks or no host. Raises UrlError."""
    wanted = " or ".join(f"{scheme}://HOST:PORT" for scheme in sorted(schemes))
    scheme, mark, rest = url.partition("://")
    authority = rest.partition("/")[0].partition("?")[0].partition("#")[0]
    if "@" in authority or (not mark and "@" in url):
        raise UrlError("a URL with a login in it", "write `username` and `password_file`, or put the URL in `url_file`")
    if not mark or scheme.lower() not in schemes:
        raise UrlError(f"{clean(scheme, 20)!r} is not a transport for this" if mark else "no URL", f"write {wanted}")
    if any(letter.isspace() for letter in url) or not url.isascii():
        raise UrlError("a URL with blanks or letters that need escaping", f"write {wanted}")
    if set(urllib.parse.parse_qs(urllib.parse.urlsplit(f"//host/{rest.partition('/')[2]}").query)) & _SECRET_PARAMETERS:
        raise UrlError("a URL with a secret in its query", "put the secret in a file and name that")
    try:
        parse_host_port(authority, 1, f"write {wanted}")
    except AddressError as error:
        raise UrlError(error.wrong, error.remedy) from None


_SECRET_PARAMETERS = frozenset({"token", "key", "api_key", "apikey", "password", "p", "secret", "sig", "signature"})
