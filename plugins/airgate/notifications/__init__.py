"""Events out: what becomes of tasks, runs and sagas is told to services behind a gateway."""

from airgate.notifications.cloud_event import CloudEventNotifier

__all__ = ["CloudEventNotifier"]
