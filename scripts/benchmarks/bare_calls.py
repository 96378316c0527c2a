"""A minimal program that calls a token endpoint many times: requests, in threads.

bare_calls.py ENDPOINT THREADS CALLS

Prints the processor seconds of the calls, without those of the start.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import requests
from requests.adapters import HTTPAdapter


def main(endpoint: str, threads: int, calls: int) -> None:
    """Make the calls."""
    with requests.Session() as session, ThreadPoolExecutor(threads) as pool:
        session.mount("http://", HTTPAdapter(pool_maxsize=threads))

        def call(number: int) -> None:
            form = {"grant_type": "refresh_token", "refresh_token": f"rt-bare-{os.getpid()}-{number}-0"}
            session.post(endpoint, data=form, auth=("bench", "made-up")).json()

        call(-1)  # loads what a call needs
        started = time.process_time()
        list(pool.map(call, range(calls)))
        print(time.process_time() - started)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
