"""Long-running work behind the gateway: what ``GatewayJobOperator`` submits, one protocol a kind of service."""

from airgate.jobs.accepted import Accepted
from airgate.jobs.airflow import AirflowRun
from airgate.jobs.callback import CALLBACK_URL
from airgate.jobs.dagster import DagsterRun
from airgate.jobs.declared import DeclaredJob
from airgate.jobs.github_actions import GithubWorkflow
from airgate.jobs.job import JobHandle, JobState, JobStatus
from airgate.jobs.kubernetes import KubernetesJob
from airgate.jobs.protocol import JobProtocol
from airgate.jobs.step_functions import StepFunctionsExecution
from airgate.jobs.talk import Ask, Talk

__all__ = [
    "CALLBACK_URL",
    "Accepted",
    "AirflowRun",
    "Ask",
    "DagsterRun",
    "DeclaredJob",
    "GithubWorkflow",
    "JobHandle",
    "JobProtocol",
    "JobState",
    "JobStatus",
    "KubernetesJob",
    "StepFunctionsExecution",
    "Talk",
]
