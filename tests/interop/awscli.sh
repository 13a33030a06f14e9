#!/usr/bin/env bash
# Judges the control plane with awscli: a smoke test of what people type (each call takes a second).
set -uo pipefail

aws=$1 # the aws program to use
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# expect NAME PATTERN COMMAND...: the command succeeds and prints a line like the pattern.
expect() {
    local name=$1 pattern=$2
    shift 2
    if ! "$@" >"$work/out" 2>"$work/err"; then
        fail "$name" "$(tr '\n' ' ' <"$work/err")"
    elif ! grep -qE -- "$pattern" "$work/out"; then
        fail "$name" "no $pattern in: $(tr '\n' ' ' <"$work/out")"
    else
        echo "ok   $name"
    fi
}

# refuse NAME PATTERN COMMAND...: the command fails and says so on stderr.
refuse() {
    local name=$1 pattern=$2
    shift 2
    if "$@" >"$work/out" 2>"$work/err"; then
        fail "$name" "accepted: $(tr '\n' ' ' <"$work/out")"
    elif ! grep -qE -- "$pattern" "$work/err"; then
        fail "$name" "no $pattern in: $(tr '\n' ' ' <"$work/err")"
    else
        echo "ok   $name"
    fi
}

fail() {
    echo "FAIL $1: $2"
    failed=1
}

iot() { "$aws" --output text iot "$@"; }

expect "describe-endpoint names a host" '^[^/]+$' \
    iot describe-endpoint --endpoint-type iot:Data-ATS --query endpointAddress

expect "list-policies knows the policy of a fresh core" '^IoTAccess$' \
    iot list-policies --query 'policies[].policyName'

# The way the AWS guide registers a CA, with openssl.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=awscli \
    -addext basicConstraints=critical,CA:TRUE -keyout "$work/ca.key" -out "$work/ca.pem" 2>/dev/null
code=$(iot get-registration-code --query registrationCode)
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$code" \
    -keyout "$work/verification.key" -out "$work/verification.csr" 2>/dev/null
openssl x509 -req -in "$work/verification.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" \
    -CAcreateserial -days 1 -sha256 -out "$work/verification.pem" 2>/dev/null
expect "register-ca-certificate accepts what openssl made" ':cacert/[0-9a-f]{64}$' \
    iot register-ca-certificate --ca-certificate "file://$work/ca.pem" \
    --verification-certificate "file://$work/verification.pem" \
    --set-as-active --allow-auto-registration --query certificateArn
refuse "the same again is refused by name" 'ResourceAlreadyExistsException' \
    iot register-ca-certificate --ca-certificate "file://$work/ca.pem" \
    --verification-certificate "file://$work/verification.pem"

expect "create-keys-and-certificate writes its files" ':cert/[0-9a-f]{64}$' \
    iot create-keys-and-certificate --set-as-active --query certificateArn \
    --certificate-pem-outfile "$work/device.pem" --private-key-outfile "$work/device.key"
expect "the certificate it wrote can be read" 'CN *= *AWS IoT Certificate' \
    openssl x509 -in "$work/device.pem" -noout -subject

expect "create-thing" ':thing/awscli$' iot create-thing --thing-name awscli --query thingArn
expect "list-things pages by itself" '^awscli$' \
    iot list-things --page-size 1 --query 'things[].thingName'
refuse "describe-thing of nobody is not found" 'ResourceNotFoundException' \
    iot describe-thing --thing-name nobody
expect "delete-thing" '^$|^None$' bash -c "'$aws' iot delete-thing --thing-name awscli && echo"

# awscli v1 has sqs ignore AWS_ENDPOINT_URL.
sqs() { "$aws" --output text --endpoint-url "$AWS_ENDPOINT_URL" sqs "$@"; }
expect "create-queue answers its URL" "/$AWS_ACCOUNT/awscli$" sqs create-queue --queue-name awscli --query QueueUrl
queue=$(sqs get-queue-url --queue-name awscli --query QueueUrl)
trust='{"Statement":[{"Effect":"Allow","Principal":{"Service":"iot.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
role=$("$aws" --output text iam create-role --role-name awscli --assume-role-policy-document "$trust" --query Role.Arn)
"$aws" iam put-role-policy --role-name awscli --policy-name own --policy-document \
    '{"Statement":[{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"*"}]}'
# quiet COMMAND...: says done where the command says nothing.
quiet() { "$@" && echo done; }
action="{\"sqs\":{\"queueUrl\":\"$queue\",\"roleArn\":\"$role\"}}"
expect "create-topic-rule" '^done$' quiet iot create-topic-rule --rule-name awscli \
    --topic-rule-payload "{\"sql\":\"SELECT * FROM 'awscli'\",\"actions\":[$action]}"
refuse "a malformed statement is refused with the place" 'SqlParseException.*line 1, column 10' \
    iot create-topic-rule --rule-name wrong --topic-rule-payload "{\"sql\":\"SELECT * FORM 'a'\",\"actions\":[]}"
expect "publish" '^done$' quiet "$aws" iot-data publish --topic awscli --qos 1 --payload hello
expect "what was published is in the queue" '^hello$' \
    sqs receive-message --queue-url "$queue" --wait-time-seconds 5 --query 'Messages[].Body'

exit $failed
