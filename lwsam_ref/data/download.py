"""One file from the network, resumed where it broke off: the part that is there already is not sent again.

(The usual libraries check sums but start from the beginning each time.)
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from lwsam_ref.errors import UserError

CHUNK = 1 << 18
SECONDS = 30


def download(url: str, target: Path, by_hand: str, tick: Callable[[int, int], None]) -> None:
    """``url`` to ``target``, by way of ``target.part``; ``tick(bytes so far, bytes in all or 0)`` as it goes."""
    part = target.with_name(target.name + ".part")
    there = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={there}-"} if there else {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310  (https, from a Source)
            resumed = answer.status == HTTPStatus.PARTIAL_CONTENT
            there = there if resumed else 0
            total = there + int(answer.headers.get("Content-Length") or 0)
            with part.open("ab" if resumed else "wb") as file:
                while piece := answer.read(CHUNK):
                    file.write(piece)
                    tick(there := there + len(piece), total)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not there:
            raise _failed(url, f"the server says {error.code} {error.reason}", by_hand) from None
        total = there  # the part is the whole
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a header that is no number
        raise _failed(url, str(getattr(error, "reason", None) or error or type(error).__name__), by_hand) from None
    if total and there < total:
        raise _failed(url, f"it broke off after {there} of {total} bytes", by_hand)
    part.replace(target)


def md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _failed(url: str, why: str, by_hand: str) -> UserError:
    return UserError(
        f"asked for {url}, but {' '.join(why.split())}: run the same again to go on from there, or get {by_hand}"
    )
