"""Makes MLflow's account DANQING_USER with DANQING_PASSWORD, or gives it that password; logs in as administrator.

No administrator: it may change the experiments and models that it has made itself, and read the others.
"""

import os

from mlflow.exceptions import MlflowException
from mlflow.server import get_app_client

client = get_app_client("basic-auth", tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
name, password = os.environ["DANQING_USER"], os.environ["DANQING_PASSWORD"]
try:
    client.get_user(name)
except MlflowException as error:
    if error.error_code != "RESOURCE_DOES_NOT_EXIST":
        raise
    client.create_user(name, password)
    print(f"{name} is made")
else:
    client.update_user_password(name, password)
    print(f"{name} has the password")
