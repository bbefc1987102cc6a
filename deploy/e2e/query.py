"""Reads tables of a pipeline with Feldera's own client, and prints their rows by table.
usage: query.py URL PIPELINE TABLE..."""
import json
import sys

from feldera.rest.feldera_client import FelderaClient

client = FelderaClient(url=sys.argv[1], timeout=20)
json.dump({t: list(client.query_as_json(sys.argv[2], f"SELECT * FROM {t}")) for t in sys.argv[3:]}, sys.stdout, default=str)
