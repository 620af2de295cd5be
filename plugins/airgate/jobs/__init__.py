"""Long-running work behind the gateway: what ``GatewayJobOperator`` submits, one protocol a kind of service."""

from airgate.jobs.job import JobHandle, JobState, JobStatus
from airgate.jobs.protocol import JobProtocol
from airgate.jobs.talk import Ask, Talk

__all__ = ["Ask", "JobHandle", "JobProtocol", "JobState", "JobStatus", "Talk"]
