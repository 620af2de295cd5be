"""Draws the secrets that docker-compose.yml asks for: `python3 include/compose/draw_secrets.py >.env`.

Needs nothing but Python. Draw them once: the databases remember the ones they were made with.
"""

import base64
import os
import secrets


def drawn() -> dict[str, str]:
    """New secrets, by the name that docker-compose.yml gives them; all of them safe inside a URL."""
    words = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "AIRFLOW_JWT_SECRET", "AIRFLOW_SECRET_KEY")
    words += ("GATEWAY_JWT_SECRET", "GATEWAY_IDENTITY_SECRET")
    return {
        **{name: secrets.token_urlsafe(48) for name in words},
        "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "AIRFLOW_ADMIN_PASSWORD": secrets.token_urlsafe(12),
    }


if __name__ == "__main__":
    for name, value in drawn().items():
        print(f"{name}={value}")  # noqa: T201 - this is what it is for
