#!/bin/sh
# Run once by PostgreSQL's image, when its volume is empty: who has which database.
set -eu
psql --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" \
  --set=mlflow="$MLFLOW_PASSWORD" --set=gateway="$GATEWAY_PASSWORD" <<'END'
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow';
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_users OWNER mlflow;
CREATE ROLE gateway LOGIN PASSWORD :'gateway';
CREATE DATABASE gateway OWNER gateway;
REVOKE CONNECT ON DATABASE mlflow, mlflow_users, gateway FROM PUBLIC;
END
