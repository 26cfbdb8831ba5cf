#!/bin/sh
# Starts MLflow's server in its container, as environment variables say; arguments go to `mlflow server` as they are.
#
#   MLFLOW_BACKEND_STORE_URI         postgresql+psycopg2://USER:PASSWORD@HOST/mlflow   [SQLite in /tmp: gone with it]
#   MLFLOW_ARTIFACTS_DESTINATION     s3://BUCKET, with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, MLFLOW_S3_ENDPOINT_URL
#   MLFLOW_SERVER_ALLOWED_HOSTS      every name by which clients call it; it replaces MLflow's own list
#   MLFLOW_AUTH_DATABASE_URI         where users are kept, a database of its own: with it, everybody must log in
#   MLFLOW_AUTH_ADMIN_USERNAME, MLFLOW_AUTH_ADMIN_PASSWORD    the first user, 12 characters or more
#   MLFLOW_FLASK_SERVER_SECRET_KEY   needed with users: random, and the same in every replica
set -eu
export MLFLOW_BACKEND_STORE_URI="${MLFLOW_BACKEND_STORE_URI:-sqlite:////tmp/mlflow.db}"
export MLFLOW_ARTIFACTS_DESTINATION="${MLFLOW_ARTIFACTS_DESTINATION:-/tmp/mlartifacts}"
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION="${MLFLOW_SERVER_ENABLE_JOB_EXECUTION:-false}"
if [ -n "${MLFLOW_AUTH_DATABASE_URI:-}" ]; then
  # MLflow reads this from a file only. A password's hash takes most of a request's time: it is compared once a minute.
  export MLFLOW_AUTH_CONFIG_PATH=/tmp/auth.ini
  (umask 077 && printf '[mlflow]\n%s\n%s\n%s\n%s\n' \
    "default_permission = ${MLFLOW_AUTH_DEFAULT_PERMISSION:-READ}" \
    "database_uri = $MLFLOW_AUTH_DATABASE_URI" \
    "authorization_function = mlflow.server.auth:authenticate_request_basic_auth" \
    "auth_cache_ttl_seconds = 60" > "$MLFLOW_AUTH_CONFIG_PATH")
  set -- --app-name basic-auth "$@"
fi
exec mlflow server --host "${MLFLOW_HOST:-0.0.0.0}" --port "${MLFLOW_PORT:-5000}" --serve-artifacts "$@"
