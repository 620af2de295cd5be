"""The environment of every process of the stack: Airflow's configuration, connections, the services' addresses."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from stack.credentials import Credentials
from stack.layout import Layout
from stack.marks import mark
from stack.ports import UPSTREAMS

LOOPBACK = "127.0.0.1"

GATEWAY_ISSUER = "https://airgate.example/"
GATEWAY_AUDIENCE = "sample-services"
"""What include/gateway/api-config.json expects in a caller's token."""
CLIENTS_PATHS = {"order_fulfillment": "/orders"}
"""Where its clients reach the runs of a DAG."""


def for_processes(layout: Layout, ports: Mapping[str, int], credentials: Credentials) -> dict[str, str]:
    """Give the whole environment: this process's own, with Airflow settings from outside replaced by the stack's."""
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW_", "PYTHON", "SUPERVISOR_"))
    }
    return (
        inherited
        | {key: os.environ[key] for key in ("PYTHONDONTWRITEBYTECODE",) if key in os.environ}
        | mark(layout.home)
        | {
            "PYTHONPATH": str(layout.project),  # `from include...`, as Airflow's hosted kinds have it
            "PYTHONUNBUFFERED": "1",
        }
        | services(ports, credentials)
        | airflow_settings(layout, ports, credentials)
        | connections(layout, ports, credentials)
    )


def services(ports: Mapping[str, int], credentials: Credentials) -> dict[str, str]:
    """What the gateway reads: where its upstreams are, the secret its callers sign with, and the one it signs with."""
    upstreams = {f"{name.upper()}_URL": f"http://{LOOPBACK}:{ports[name]}" for name in UPSTREAMS}
    return upstreams | {
        "AIRFLOW_URL": f"http://{LOOPBACK}:{ports['api-server']}",
        "GATEWAY_JWT_SECRET": credentials.gateway_jwt_secret,
        "GATEWAY_IDENTITY_SECRET": credentials.gateway_identity_secret,
    }


def airflow_settings(layout: Layout, ports: Mapping[str, int], credentials: Credentials) -> dict[str, str]:
    """Airflow's configuration: a small installation that answers fast, rather than a large one that idles cheaply."""
    address = f"http://{LOOPBACK}:{ports['api-server']}"
    settings: dict[str, dict[str, object]] = {
        "core": {
            "dags_folder": layout.dags,
            "plugins_folder": layout.project / "plugins",
            "load_examples": False,
            "executor": "LocalExecutor",
            "parallelism": 4,  # that many workers, each a process
            "fernet_key": credentials.fernet_key,
            "auth_manager": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
            "simple_auth_manager_users": "admin:admin",
            "simple_auth_manager_all_admins": False,
            "execution_api_server_url": f"{address}/execution/",
            "test_connection": "Enabled",
        },
        "database": {"sql_alchemy_conn": metadata_address(layout, patience=60)},
        "logging": {
            "base_log_folder": layout.logs,
            "dag_processor_child_process_log_directory": layout.logs / "dag_processor",
            "colored_console_log": False,
        },
        "api": {"base_url": address, "host": LOOPBACK, "port": ports["api-server"], "workers": 1},
        "api_auth": {"jwt_secret": credentials.airflow_jwt_secret, "jwt_issuer": "airgate-demo"},
        "scheduler": {
            "scheduler_idle_sleep_time": 0.3,
            "scheduler_heartbeat_sec": 2,
            "job_heartbeat_sec": 2,
            # A task whose process was killed is noticed after at most 18 s and tried again.
            "task_instance_heartbeat_timeout": 15,
            "task_instance_heartbeat_timeout_detection_interval": 3,
            "orphaned_tasks_check_interval": 30,
        },
        # A first call can take seconds on a busy machine, and giving up early would only repeat it.
        "workers": {"min_heartbeat_interval": 3, "execution_api_timeout": 30},
        "triggerer": {"job_heartbeat_sec": 2},
        "dag_processor": {
            "refresh_interval": 5,
            "min_file_process_interval": 30,
            "parsing_processes": 1,
            "dag_bundle_storage_path": layout.home / "bundles",
        },
        "airgate": {
            "data_root": layout.data.as_uri(),
            "ingress_identity_secrets": credentials.gateway_identity_secret,
            "ingress_urls": json.dumps(CLIENTS_PATHS),
        },
    }
    variables = {
        f"AIRFLOW__{section.upper()}__{key.upper()}": str(value)
        for section, values in settings.items()
        for key, value in values.items()
    }
    return {"AIRFLOW_HOME": str(layout.home)} | variables


def metadata_address(layout: Layout, patience: int) -> str:
    """Give the metadata database's address for Airflow.

    Args:
        layout: where it is.
        patience: seconds that a write waits for another one; SQLite lets only one happen at a time.
    """
    return f"sqlite:///{layout.metadata}?timeout={patience}"


def connections(layout: Layout, ports: Mapping[str, int], credentials: Credentials) -> dict[str, str]:
    """The two connections that the example DAGs use."""
    gateway = {
        "conn_type": "gateway",
        "schema": "http",
        "host": LOOPBACK,
        "port": ports["edge"],
        "login": "airgate-demo",
        "password": credentials.gateway_jwt_secret,
        "extra": {
            "auth": "jwt",
            "jwt_issuer": GATEWAY_ISSUER,
            "jwt_audience": GATEWAY_AUDIENCE,
            "health_path": "/health",
        },
    }
    warehouse = {"conn_type": "duckdb", "host": str(layout.warehouse)}
    return {
        "AIRFLOW_CONN_GATEWAY_DEFAULT": json.dumps(gateway),
        "AIRFLOW_CONN_WAREHOUSE_DEFAULT": json.dumps(warehouse),
    }
