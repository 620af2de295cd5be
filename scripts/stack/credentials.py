"""The stack's secrets: drawn once at random, kept in one file that only its owner can read."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Credentials:
    """Everything secret that the processes share."""

    fernet_key: str
    """Airflow encrypts stored connections with it: 32 bytes, URL-safe base64."""
    airflow_jwt_secret: str
    """Airflow's components sign their tokens with it."""
    gateway_jwt_secret: str
    """The gateway's callers sign theirs with this one."""
    gateway_identity_secret: str
    """The gateway signs with it who its callers are."""
    admin_password: str
    """Of the user `admin` in Airflow's UI."""

    @classmethod
    def drawn(cls) -> Credentials:
        """New ones."""
        return cls(
            fernet_key=base64.urlsafe_b64encode(os.urandom(32)).decode(),
            airflow_jwt_secret=secrets.token_urlsafe(64),
            gateway_jwt_secret=secrets.token_urlsafe(48),
            gateway_identity_secret=secrets.token_urlsafe(48),
            admin_password=secrets.token_urlsafe(9),
        )

    @classmethod
    def kept(cls, home: Path) -> Credentials:
        """Those of `home`; draws what is missing of them, on the first call all. A damaged file is replaced."""
        file = home / "credentials.json"
        try:
            stored = json.loads(file.read_text())
            known = {field.name: str(stored[field.name]) for field in fields(cls) if field.name in stored}
        except (FileNotFoundError, ValueError, TypeError):
            stored, known = None, {}
        found = cls(**{**asdict(cls.drawn()), **known})
        if asdict(found) != stored:
            write_private(file, asdict(found))
        # The file that Airflow's simple auth manager reads; written again each time, should it have been edited.
        write_private(home / "simple_auth_manager_passwords.json.generated", {"admin": found.admin_password})
        return found


def write_private(file: Path, content: dict[str, str]) -> None:
    """Write JSON so that only the owner can read it at any moment, and that no reader sees half of it."""
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(content, stream)
    new.replace(file)
