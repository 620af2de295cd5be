"""What the installed package offers to Airflow: connection type, decorators, commands, configuration."""

from __future__ import annotations

from typing import Any

from airgate import __version__
from airgate.client.fields import FIELDS, Field


def get_provider_info() -> dict[str, Any]:
    """The provider's description, read by Airflow on every start."""
    return {
        "package-name": "airgate",
        "name": "Airgate",
        "description": "Orchestrate services behind an API gateway.",
        "versions": [__version__],
        "connection-types": [
            {
                "connection-type": "gateway",
                "hook-class-name": "airgate.hooks.gateway.GatewayHook",
                "hook-name": "Gateway",
                "conn-fields": {name: _form_field(field) for name, field in FIELDS.items()},
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {
                        "schema": "Scheme",
                        "login": "User, subject, client id or access key",
                        "password": "Password, token, key or client secret",
                    },
                    "placeholders": {"host": "api.example.com", "schema": "https"},
                },
            }
        ],
        "task-decorators": [
            {"name": "dataframe", "class-name": "airgate.decorators.dataframe.dataframe_task"},
            {"name": "gateway", "class-name": "airgate.decorators.gateway.gateway_task"},
        ],
        "cli": ["airgate.cli.get_gateway_cli_commands"],
        "notifications": ["airgate.notifications.CloudEventNotifier"],
        "queues": ["airgate.triggers.redis_queue.RedisStreamQueueProvider"],
        "config": {
            "airgate": {
                "description": "Airgate's settings.",
                "options": {
                    "data_root": {
                        "description": "URI below which data sets are written, on any file system of Airflow's object "
                        "storage. Every worker must reach it.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "s3://aws_default@bucket/airgate",
                        "default": "",
                    },
                    "limits_store": {
                        "description": "Where limits and circuit breakers are shared: empty for a file below "
                        "AIRFLOW_HOME, which the processes of one machine share; the path of another file; or, for a "
                        "cluster, a redis:// URL or the id of a connection of type redis.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "sensitive": True,
                        "example": "redis_default",
                        "default": "",
                    },
                    "callback_url": {
                        "description": "Address at which services reach the callbacks of jobs: that of the gateway's "
                        "route to /airgate/v1/callbacks of the api-server.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "https://gateway.example.com/airgate/v1/callbacks",
                        "default": "",
                    },
                    "callback_secrets": {
                        "description": "Secrets that sign the addresses of callbacks, at least 32 bytes each, with "
                        "commas or blanks between them: the first one signs, all of them are known. The same for "
                        "the workers and the api-server.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "sensitive": True,
                        "example": None,
                        "default": "",
                    },
                    "callback_lifetime": {
                        "description": "Seconds that the address of a callback is good for, where the job has no "
                        "timeout of its own.",
                        "version_added": "0.1.0",
                        "type": "integer",
                        "example": None,
                        "default": "604800",
                    },
                    "ingress_issuer": {
                        "description": "Whose tokens may start runs beside Airflow's own: the claim iss of its JWTs. "
                        "Empty for none; then ingress_audience and ingress_jwks stay empty as well.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "https://issuer.example.com/",
                        "default": "",
                    },
                    "ingress_audience": {
                        "description": "Accepted audiences of these tokens, with commas or blanks between them.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "https://gateway.example.com/runs",
                        "default": "",
                    },
                    "ingress_jwks": {
                        "description": "Address or path of the issuer's public keys, a JSON Web Key Set.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "https://issuer.example.com/.well-known/jwks.json",
                        "default": "",
                    },
                    "ingress_algorithms": {
                        "description": "Accepted signature algorithms of these tokens.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "RS256 ES256",
                        "default": "RS256",
                    },
                    "ingress_claim": {
                        "description": "The claim of these tokens that lists the ids of the DAGs whose runs they may "
                        "start: a list, or a text with blanks between.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "scope",
                        "default": "airgate_dags",
                    },
                    "ingress_leeway": {
                        "description": "Seconds by which the clocks of issuer, gateway and api-server may differ.",
                        "version_added": "0.1.0",
                        "type": "integer",
                        "example": None,
                        "default": "10",
                    },
                    "ingress_identity_secrets": {
                        "description": "Secrets of the gateways whose word for who their client is counts, at least 32 "
                        "bytes each, with commas or blanks between them. Empty: the header Airgate-Identity is not "
                        "looked at.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "sensitive": True,
                        "example": None,
                        "default": "",
                    },
                    "ingress_key_required": {
                        "description": "Whether a client must send an Idempotency-Key to start a run.",
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "True",
                    },
                    "ingress_rate": {
                        "description": "Requests that are taken from one caller, by each process of the api-server; "
                        "empty for any number.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "100/min, 10/s",
                        "default": "20/s",
                    },
                    "ingress_longest_wait": {
                        "description": "Seconds that a request is held at most when a client prefers to wait for the "
                        "end of a run.",
                        "version_added": "0.1.0",
                        "type": "integer",
                        "example": None,
                        "default": "25",
                    },
                    "ingress_most_waiting": {
                        "description": "Requests that each process of the api-server holds at the same time.",
                        "version_added": "0.1.0",
                        "type": "integer",
                        "example": None,
                        "default": "100",
                    },
                    "ingress_urls": {
                        "description": "Addresses or paths at which clients reach the runs of DAGs, where that is not "
                        "below /airgate/v1: a JSON object of DAG ids and addresses.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": '{"order_fulfillment": "/orders"}',
                        "default": "",
                    },
                    "ingress_webhooks": {
                        "description": "Signed webhooks that are taken at /airgate/v1/webhooks/NAME: a JSON object of "
                        "names and objects with scheme (standard, github, plain), and dag or asset.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": '{"shop": {"scheme": "standard", "asset": "orders"}}',
                        "default": "",
                    },
                    "ingress_webhook_secrets": {
                        "description": "Secrets of these webhooks: a JSON object of names and lists of secrets, at "
                        "least 24 bytes each. Any of them may have signed.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "sensitive": True,
                        "example": None,
                        "default": "",
                    },
                },
            }
        },
    }


def _form_field(field: Field) -> dict[str, Any]:
    kind = "string" if field.kind == "object" else field.kind
    schema: dict[str, Any] = {"type": [kind, "null"]}
    if field.default is not None:
        schema["default"] = field.default
    if field.choices:
        schema["enum"] = list(field.choices)
    return {"label": field.label, "schema": schema, "description": field.description}
