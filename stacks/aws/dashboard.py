"""The Grafana dashboard of a cluster, which reads its Prometheus workspace."""

import json
from typing import Any, Final

PANELS: Final = (
    ("GPU utilisation", "percent", "DCGM_FI_DEV_GPU_UTIL", "{{node}} GPU {{gpu}}"),
    ("Tensor cores active", "percentunit", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "{{node}} GPU {{gpu}}"),
    ("GPU memory in use", "decmbytes", "DCGM_FI_DEV_FB_USED", "{{node}} GPU {{gpu}}"),
    ("GPU power", "watt", "DCGM_FI_DEV_POWER_USAGE", "{{node}} GPU {{gpu}}"),
    ("GPU temperature", "celsius", "DCGM_FI_DEV_GPU_TEMP", "{{node}} GPU {{gpu}}"),
    ("Last Xid error", "none", "DCGM_FI_DEV_XID_ERRORS", "{{node}} GPU {{gpu}}"),
    (
        "NVLink bandwidth",
        "MBs",
        "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL",
        "{{node}} GPU {{gpu}}",
    ),
    (
        "EFA, received",
        "Bps",
        'rate(efa_hw_counter_total{SELECT,counter="rx_bytes"}[5m])',
        "{{node}} {{device}}",
    ),
    (
        "EFA, packets dropped and peers lost",
        "none",
        "sum by (node, counter) (increase(efa_hw_counter_total{SELECT,"
        'counter=~"rx_drops|unresponsive_remote_events|impaired_remote_conn_events"}[5m]))',
        "{{node}} {{counter}}",
    ),
    (
        "Ethernet, received",
        "Bps",
        'rate(node_network_receive_bytes_total{SELECT,device!="lo"}[5m])',
        "{{node}} {{device}}",
    ),
    (
        "Scratch free",
        "bytes",
        'node_filesystem_avail_bytes{SELECT,mountpoint="/scratch"}',
        "{{node}}",
    ),
    ("Memory available", "bytes", "node_memory_MemAvailable_bytes", "{{node}}"),
)
"""Title, unit in Grafana, query and legend of each panel. The DCGM exporter and the node exporter provide the metrics;
EFA counters are named as in the EC2 user guide, "Monitor an Elastic Fabric Adapter". SELECT is replaced by the selector
of the cluster."""

WIDTH, HEIGHT, COLUMNS = 12, 8, 2
SCHEMA_VERSION: Final = 39
"""Schema of the dashboards that Grafana 10.4 writes; newer releases convert it."""


def grafana_dashboard(cluster: str) -> str:
    """The dashboard as JSON. The data source is a variable that the reader chooses."""
    document = {
        "uid": f"llmcluster-{cluster}"[:40],
        "title": f"llmcluster: {cluster}",
        "tags": ["llmcluster"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "templating": {
            "list": [{"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}]
        },
        "panels": [_panel(number, cluster, *panel) for number, panel in enumerate(PANELS)],
    }
    return json.dumps(document, indent=2) + "\n"


def _panel(number: int, cluster: str, title: str, unit: str, expression: str, legend: str) -> dict[str, Any]:
    selector = f'cluster="{cluster}"'
    query = expression.replace("SELECT", selector) if "SELECT" in expression else f"{expression}{{{selector}}}"
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": source,
        "gridPos": {
            "x": number % COLUMNS * WIDTH,
            "y": number // COLUMNS * HEIGHT,
            "w": WIDTH,
            "h": HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [{"refId": "A", "datasource": source, "expr": query, "legendFormat": legend}],
    }
