"""Writes data/: the bank's clients as a database, the call centre's contacts as Parquet files.

The data is the UCI Bank Marketing data (Moro, Rita, Cortez 2014, https://doi.org/10.24432/C5K306), read from the installed package
`empulse`. Only clients with a positive balance are kept: 37,931. Run it again at any time: uv run python make_data.py
"""

import csv
import gzip
import io
import sqlite3
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

DATA = Path(__file__).parent / "data"
YES = {"yes": 1, "no": 0}


def raw_rows():
    package = Path(find_spec("empulse").origin).parent  # found and not imported: five seconds for a file
    packed = (package / "datasets/data/bankmarketing.csv.gz").read_bytes()
    rows = csv.DictReader(io.StringIO(gzip.decompress(packed).decode()), delimiter=";")
    return [row for row in rows if int(row["balance"]) > 0]


def write_clients(rows):
    path = DATA / "clients.sqlite"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "create table clients (client_id integer primary key, age integer, job text, marital text, education text,"
            " in_default boolean, balance integer, housing boolean, loan boolean)"
        )
        connection.executemany(
            "insert into clients values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    number, int(row["age"]), row["job"], row["marital"], row["education"], YES[row["default"]],
                    int(row["balance"]), YES[row["housing"]], YES[row["loan"]],
                )
                for number, row in enumerate(rows, 1)
            ),
        )
    connection.close()


def write_contacts(rows):
    folder = DATA / "contacts"
    folder.mkdir(exist_ok=True)
    months = {}
    for number, row in enumerate(rows, 1):
        months.setdefault(row["month"], []).append(
            {
                "client_id": number,
                "contact": row["contact"],
                "day": int(row["day"]),
                "month": row["month"],
                "campaign": int(row["campaign"]),
                "pdays": int(row["pdays"]),
                "previous": int(row["previous"]),
                "poutcome": row["poutcome"],
                "duration": int(row["duration"]),
                "subscribed": row["y"] == "yes",
            }
        )
    for month, contacts in months.items():
        pq.write_table(pa.Table.from_pylist(contacts), folder / f"{month}.parquet")


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    found = raw_rows()
    write_clients(found)
    write_contacts(found)
    print(f"{len(found):,} clients: data/clients.sqlite, data/contacts/*.parquet")
