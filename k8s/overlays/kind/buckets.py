"""Makes the buckets that are named as arguments, where they are not there yet."""

import sys

import boto3

client = boto3.client("s3")
for name in sys.argv[1:]:
    if name in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        continue
    client.create_bucket(Bucket=name)
    print(f"{name} is made")
