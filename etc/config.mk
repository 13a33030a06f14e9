# Where `make deploy`, `make sqs`, `make loadtest-policy`, `make delete` and `make log` go, and what they call things:
# set it here, in the environment, or on make's command line. One that is needed and empty is an error that names it.

# The account you mean; if it is set and the credentials belong to another, nothing is done.
AWS_ACCOUNT ?=
AWS_REGION ?=
# Bucket for what a stack is made from: aws s3 mb s3://BUCKET
AWS_BUCKET ?=
# Stack of `make deploy`, and the one that `make delete` and `make log` are about.
AWS_STACK ?= iot-policy
# Topic whose messages `make sqs` puts into a queue.
AWS_TOPIC ?= loadtest
# Stacks of `make sqs` and `make loadtest-policy`: apart from AWS_STACK, or one would replace the other.
AWS_SQS_STACK ?= $(AWS_TOPIC)-stack
AWS_LOADTEST_STACK ?= $(AWS_TOPIC)-policy
