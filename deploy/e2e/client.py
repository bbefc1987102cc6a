"""Drives a pipeline with Feldera's own client: what it sends, waits for and reads must be
understood by the emulator as by the real server. usage: client.py URL KEY"""
import json
import sys
import time

from feldera.rest.feldera_client import FelderaClient
from feldera.enums import PipelineFieldSelector
from feldera.rest.pipeline import Pipeline

client = FelderaClient(url=sys.argv[1], api_key=sys.argv[2], timeout=20)
program = 'CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, v VARCHAR, d DECIMAL(10, 2), at TIMESTAMP, j VARIANT, "B" VARBINARY);'
config = client.get_config()
out = {"edition": config.edition.value, "version": config.version}
client.create_pipeline(Pipeline(name="client", sql=program, udf_rust="", udf_toml="", program_config={}, runtime_config={}))
client.start_pipeline("client")
out["tables"] = [t.name for t in client.get_pipeline("client", PipelineFieldSelector.ALL).tables]


def push(rows, **how):
    return client.push_to_pipeline("client", "t", "json", rows, array=True, wait=True, **how)


push([{"id": 1, "v": "a"}, {"id": 2, "v": "b", "d": "1.50", "at": "2024-01-02 03:04:05.000006", "j": {"x": [1, None]}, "B": [0, 255]}])
push([{"insert": {"id": 1, "v": "c"}}, {"delete": {"id": 2}}, {"insert": {"id": 3, "d": "-0.99"}}], update_format="insert_delete")
client.pause_pipeline("client")
out["paused"] = client.get_pipeline("client", PipelineFieldSelector.ALL).deployment_status
client.resume_pipeline("client")
token = client.push_to_pipeline("client", "t", "json", [{"insert": {"id": 4}}], array=True, update_format="insert_delete", wait=False)
client.wait_for_token("client", token if isinstance(token, str) else token["token"])
endpoints = [i["endpoint_name"] for i in client.get_pipeline_stats("client")["inputs"]]
for name in endpoints:
    client.wait_for_token("client", client.generate_completion_token("client", *name.split(".", 1)))
out["endpoints"] = len(endpoints)
try:
    push([{"insert": {"id": "x"}}, {"insert": {"id": 5}}], update_format="insert_delete")
    out["refused"] = ""
except Exception as e:
    out["refused"] = str(e)[:200]
out["rows"] = sorted(client.query_as_json("client", "SELECT * FROM t"), key=lambda r: r["id"])
out["state"] = client.get_pipeline_stats("client")["global_metrics"]["state"]
if config.edition.is_enterprise():
    asked = client.checkpoint_pipeline("client")
    while (client.checkpoint_pipeline_status("client")["success"] or 0) < asked:
        time.sleep(0.1)
    push([{"insert": {"id": 6}}], update_format="insert_delete")
    client.stop_pipeline("client", force=True)
    client.start_pipeline("client")
    out["saved"] = sorted(r["id"] for r in client.query_as_json("client", "SELECT * FROM t"))
client.stop_pipeline("client", force=True)
out["stopped"] = client.get_pipeline("client", PipelineFieldSelector.ALL).deployment_status
try:
    client.wait_for_token("client", token if isinstance(token, str) else token["token"], timeout_s=5)
    out["old token"] = ""
except Exception as e:
    out["old token"] = type(e).__name__
client.clear_storage("client")
client.delete_pipeline("client")
json.dump(out, sys.stdout, default=str)
