#!/bin/sh
# Once before Airflow starts, and harmless again: metadata database, pools, the password of the user `admin`.
set -eu
airflow db migrate
airflow pools import include/airflow/pools.json
umask 077
python -c 'import json, os; print(json.dumps({"admin": os.environ["AIRFLOW_ADMIN_PASSWORD"]}))' \
    >"$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
