#!/usr/bin/env bash
# Makes the passwords and keys that the manifests refer to, once, on this machine; nothing of it belongs into git.
#
#   k8s/secrets.sh [FOLDER]        [k8s/secrets, which git ignores]
#   kubectl apply -k k8s/secrets/danqing     for the namespace danqing
#   kubectl apply -k k8s/secrets/pipelines   for the namespace where Kubeflow runs the steps
#
# A file that is there stays: run it again after deleting one to get that one anew. Where database or store are not the
# bundled ones, say so before the first run:
#   DATABASE_HOST=… DATABASE_PORT=5432            PostgreSQL [postgres, 5432]
#   MLFLOW_DB_PASSWORD=… GATEWAY_DB_PASSWORD=…    of its users `mlflow` and `gateway` [random]
#   S3_ACCESS_KEY_ID=… S3_SECRET_ACCESS_KEY=…     of the object store [random]
#   PIPELINES_NAMESPACE=…                         [kubeflow]
set -euo pipefail
umask 077
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder/danqing" "$folder/pipelines"
cd "$folder/danqing"

random() { od -An -N "${1:-24}" -tx1 /dev/urandom | tr -d ' \n'; }
once() { # FILE: standard input into it, unless it is there
  if [ -e "$1" ]; then cat > /dev/null; else cat > "$1.new" && mv "$1.new" "$1"; fi
}

host=${DATABASE_HOST:-postgres} port=${DATABASE_PORT:-5432}
database() { # USER PASSWORD: what programs and pg_dump need to know
  printf '%s\n' "host=$host" "port=$port" "user=$1" "database=$1" "password=$2" \
    "uri=postgresql+psycopg2://$1:$2@$host:$port/$1"
}
mlflow=${MLFLOW_DB_PASSWORD:-$(random)}
{ database mlflow "$mlflow"
  echo "users_database=mlflow_users"
  echo "users_uri=postgresql+psycopg2://mlflow:$mlflow@$host:$port/mlflow_users"; } | once mlflow-db.env
database gateway "${GATEWAY_DB_PASSWORD:-$(random)}" | once gateway-db.env
echo "password=$(random)" | once postgres.env
printf '%s\n' "access_key_id=${S3_ACCESS_KEY_ID:-danqing}" "secret_access_key=${S3_SECRET_ACCESS_KEY:-$(random)}" | once s3.env
printf '%s\n' "username=admin" "password=$(random)" "flask_secret=$(random 32)" | once mlflow-admin.env
printf '%s\n' "username=danqing" "password=$(random)" | once mlflow.env
echo "secret=$(random)" | once triton.env
echo "first $(random)" | once keys  # of the HTTP API: a name and a key a line
random 32 | once secret             # keys watermarks and prompt digests: other than the rest, never change it

. ./s3.env # SeaweedFS wants the same keys in a file
cat > s3.json <<END
{"identities": [{"name": "danqing", "actions": ["Admin", "Read", "Write", "List"],
  "credentials": [{"accessKey": "$access_key_id", "secretKey": "$secret_access_key"}]}]}
END

cp mlflow.env s3.env ../pipelines/
head='apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
generatorOptions: {disableNameSuffixHash: true}'
cat > kustomization.yaml <<END
$head
namespace: danqing
secretGenerator:
  - {name: danqing-postgres, envs: [postgres.env]}
  - {name: danqing-mlflow-db, envs: [mlflow-db.env]}
  - {name: danqing-gateway-db, envs: [gateway-db.env]}
  - {name: danqing-s3, envs: [s3.env]}
  - {name: danqing-seaweedfs, files: [s3.json]}
  - {name: danqing-mlflow-admin, envs: [mlflow-admin.env]}
  - {name: danqing-mlflow, envs: [mlflow.env]}
  - {name: danqing-triton, envs: [triton.env]}
  - {name: danqing-gateway, files: [keys, secret]}
END
cat > ../pipelines/kustomization.yaml <<END
$head
namespace: ${PIPELINES_NAMESPACE:-kubeflow}
secretGenerator:
  - {name: danqing-mlflow, envs: [mlflow.env]}
  - {name: danqing-s3, envs: [s3.env]}
END
echo "secrets in $folder"
