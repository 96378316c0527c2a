"""A minimal program that prints a stored token: click, sqlite3 and AES-GCM, and one read.

bare_token.py STORE KEY_FILE PRACTICE
"""

import base64
import hmac
import sqlite3
from pathlib import Path

import click
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


@click.command()
@click.argument("store")
@click.argument("key_file")
@click.argument("practice")
def main(store: str, key_file: str, practice: str) -> None:
    """Print a practice's access token."""
    key = base64.b64decode(Path(key_file).read_text())
    cipher = AESGCM(hmac.digest(key, b"ormco store: seal\x01", "sha256"))
    db = sqlite3.connect(store)
    row = db.execute(
        "SELECT access_sealed, expires_at, generation, state, account_id, provider, store_id "
        "FROM ormco_connections, ormco_store WHERE practice_id = ? AND slot = 'live'",
        (practice,),
    ).fetchone()
    facts = (row[6], "ormco_connections", "access_sealed", practice, "live", *row[2:6])
    bound = "".join("-" if fact is None else f"{len(str(fact))}:{fact}" for fact in facts).encode()
    click.echo(cipher.decrypt(row[0][9:21], row[0][21:], row[0][:9] + bound).decode())


if __name__ == "__main__":
    main()
