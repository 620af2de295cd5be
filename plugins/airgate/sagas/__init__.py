"""Sagas: several services do their part of one piece of business, or what was done is undone."""

from airgate.sagas.decorator import saga
from airgate.sagas.effect import Effect, current_effect
from airgate.sagas.saga import Saga, SagaSteps

__all__ = ["Effect", "Saga", "SagaSteps", "current_effect", "saga"]
