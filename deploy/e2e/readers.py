"""Reads Parquet files with pyarrow and with DuckDB and prints what each finds, one
JSON object a reader: the columns' types, and every row as texts."""
import datetime
import decimal
import json
import math
import sys

import duckdb
import pyarrow.parquet as pq


def text(v):
    if v is None:
        return None
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, datetime.datetime):
        if v.tzinfo is not None:
            v = v.astimezone(datetime.timezone.utc)
        return v.strftime("%Y-%m-%dT%H:%M:%S.") + "%06d" % v.microsecond
    if isinstance(v, datetime.time):
        return v.strftime("%H:%M:%S.") + "%03d" % (v.microsecond // 1000)
    if isinstance(v, datetime.date):
        return v.isoformat()
    if isinstance(v, float):
        return "NaN" if math.isnan(v) else repr(v)
    if isinstance(v, decimal.Decimal):
        return format(v, "f")
    return str(v)


def show(reader, names, types, rows):
    json.dump({"reader": reader, "names": names, "types": types, "rows": [[text(v) for v in row] for row in rows]}, sys.stdout)
    print()


for path in sys.argv[1:]:
    table = pq.read_table(path)
    columns = [table.column(i).to_pylist() for i in range(table.num_columns)]
    show("pyarrow", table.column_names, [str(t) for t in table.schema.types], list(zip(*columns)))
    con = duckdb.connect()
    con.execute("set timezone='UTC'")
    found = con.execute("select * from read_parquet(?)", [path])
    show("duckdb", [d[0] for d in found.description], [str(d[1]) for d in found.description], found.fetchall())
