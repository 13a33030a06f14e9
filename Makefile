# Everything a person or a CI job asks of this repository. `make help` lists it.

CARGO       ?= cargo
TARGET_DIR  := $(or $(CARGO_TARGET_DIR),target)
PREFIX      ?= /usr/local
DESTDIR     ?=

PROGRAMS    := create-root create-intermediate register provision ledger pub sub \
               create-thing delete-thing enable-certificate disable-certificate device-status thing-certificates sweep ca \
               fleet-provision needs-renewal create-claim template teardown environment deploy queue lint \
               loadtest loadtest-full iot-local
# The names the shell toolkit used for two of them.
ALIASES     := create-ca:create-root register-ca:register
EXECUTABLES := $(PROGRAMS:%=bin/%)

.PHONY: all check test bench demo fleet-demo pipeline-demo loadtest lambda local interop install clean help prerequisites programs \
        account bucket deploy sqs loadtest-policy delete log

all: programs ## build the programs into bin/

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

prerequisites:
	@command -v $(CARGO) >/dev/null || { echo "make: Rust is missing; remedy: install it as https://rustup.rs says" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "make: a C compiler is missing; remedy: sudo apt-get install build-essential" >&2; exit 1; }
	@command -v pkg-config >/dev/null && pkg-config --exists openssl || { echo "make: the OpenSSL headers are missing; remedy: sudo apt-get install pkg-config libssl-dev" >&2; exit 1; }

# Cargo decides what is out of date; a program is put in place anew only when it changed, and by
# rename, so that one that is running goes on undisturbed.
programs: prerequisites
	$(CARGO) build --release --locked --bins
	@for program in $(PROGRAMS); do \
	  cmp -s $(TARGET_DIR)/release/$$program bin/$$program || { \
	    cp $(TARGET_DIR)/release/$$program bin/.$$program.new && mv -f bin/.$$program.new bin/$$program; } || exit 1; \
	done
	@for alias in $(ALIASES); do ln -sfn $${alias#*:} bin/$${alias%%:*}; done

demo: programs ## the main job on a local AWS IoT Core: root, register, provision, pub, sub
	./bin/iot-local run -- etc/demo.sh

# A core is started only where none is named; its time runs fast, so that AWS's five minutes for a thing type are seconds.
FLEET_DEMO   = FLEET_HOOK=$(TARGET_DIR)/fleet-demo/pre-provision.zip etc/fleet-demo.sh
fleet-demo: programs ## a fleet by claim on a local AWS IoT Core: three devices get in, a fourth does not, nothing is left
	$(CARGO) run --quiet --locked --package xtask -- lambda etc/fleet-demo.json $(TARGET_DIR)/fleet-demo
	@if [ -n "$${AWS_ENDPOINT_URL:-}" ]; then $(FLEET_DEMO); \
	else ./bin/iot-local run --clock-speed 100 -- env $(FLEET_DEMO); fi

# A core is started only where none is named.
PIPELINE_DEMO = PIPELINE_FUNCTION=$(TARGET_DIR)/lambda/process-queue.zip etc/pipeline-demo.sh
pipeline-demo: programs lambda ## publisher, rule, queue and function on a local AWS IoT Core; a pause, a backlog, and its end
	@if [ -n "$${AWS_ENDPOINT_URL:-}" ]; then $(PIPELINE_DEMO); \
	else ./bin/iot-local run -- env $(PIPELINE_DEMO); fi

# A core is started only where none is named. PUBLISHERS, SUBSCRIBERS and DURATION change what is run.
loadtest: programs ## the load test of the seed on a local AWS IoT Core; PUBLISHERS, SUBSCRIBERS, DURATION
	@if [ -n "$${AWS_ENDPOINT_URL:-}" ]; then etc/loadtest-demo.sh; \
	else ./bin/iot-local run -- etc/loadtest-demo.sh; fi

lambda: prerequisites ## build and pack the functions into target/lambda (ALLOW_LIST=FILE goes along)
	$(CARGO) run --quiet --locked --package xtask -- lambda $(ALLOW_LIST)

# The stacks in etc/cloudformation, by awscli; etc/config.mk names what they need. `bin/deploy` does the same without.
include etc/config.mk
AWS          ?= aws
ARCHITECTURE := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)
# $(call needs,VARIABLE…): stops at the first that is empty.
needs = $(foreach name,$(1),$(if $(strip $($(name))),,$(error $(name) is not set; remedy: export it, or set it in etc/config.mk)))
# $(call stack,TEMPLATE,STACK,PARAMETERS): packages a template and deploys it; an unchanged stack is no failure.
define stack
@mkdir -p tmp
$(AWS) cloudformation package --region $(AWS_REGION) --s3-bucket $(AWS_BUCKET) \
  --template-file etc/cloudformation/$(1).yaml --output-template-file tmp/$(1).$(2).yaml
$(AWS) cloudformation deploy --region $(AWS_REGION) --stack-name $(2) --template-file tmp/$(1).$(2).yaml \
  --capabilities CAPABILITY_NAMED_IAM --no-fail-on-empty-changeset$(if $(3), --parameter-overrides $(3))
endef

account:
	$(call needs,AWS_REGION AWS_STACK)
	$(if $(AWS_ACCOUNT),$(call check_account,$(AWS_ACCOUNT)))
# $(call check_account,ACCOUNT)
define check_account
found=$$($(AWS) sts get-caller-identity --region $(AWS_REGION) --query Account --output text) && \
  { [ "$$found" = "$(1)" ] || { echo "make: the credentials belong to account $$found and not to AWS_ACCOUNT $(1)" >&2; exit 1; }; }
endef

bucket:
	$(call needs,AWS_BUCKET AWS_TOPIC AWS_SQS_STACK AWS_LOADTEST_STACK)

deploy: bucket account ## deploy the role and the policy that just-in-time provisioning needs
	$(call stack,provisioning,$(AWS_STACK))

sqs: bucket account lambda ## deploy the pipeline: rule, queue and function for AWS_TOPIC
	@[ target -ef $(TARGET_DIR) ] || { mkdir -p target/lambda && cp $(TARGET_DIR)/lambda/process-queue.zip target/lambda/; }
	$(call stack,sqs,$(AWS_SQS_STACK),TopicName=$(AWS_TOPIC) FunctionArchitecture=$(ARCHITECTURE))

loadtest-policy: bucket account ## deploy the policy of load-test devices
	$(call stack,loadtest,$(AWS_LOADTEST_STACK),TopicName=$(AWS_TOPIC))

delete: account ## delete the stack AWS_STACK
	$(AWS) cloudformation delete-stack --region $(AWS_REGION) --stack-name $(AWS_STACK)
	$(AWS) cloudformation wait stack-delete-complete --region $(AWS_REGION) --stack-name $(AWS_STACK)

log: account ## what happened to the stack AWS_STACK
	$(AWS) cloudformation describe-stack-events --region $(AWS_REGION) --stack-name $(AWS_STACK) --output text \
	  --query 'StackEvents[].[Timestamp,LogicalResourceId,ResourceStatus,ResourceStatusReason]'

local: programs ## an AWS IoT Core on this machine, until Ctrl-C
	./bin/iot-local serve

test: prerequisites ## every test; needs no network and no account
	@command -v openssl >/dev/null || { echo "make: the openssl program, which judges our certificates, is missing; remedy: sudo apt-get install openssl" >&2; exit 1; }
	@command -v curl >/dev/null || { echo "make: curl, by which the functions of some tests speak, is missing; remedy: sudo apt-get install curl" >&2; exit 1; }
	@command -v script >/dev/null || { echo "make: script, which gives the programs of some tests a terminal, is missing; remedy: sudo apt-get install bsdutils" >&2; exit 1; }
	$(CARGO) test --workspace --locked

check: prerequisites ## what must be true before a change lands
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked --document-private-items
	$(MAKE) test
	@test -z "$$(git status --porcelain)" || { echo "make: the working tree is not clean:" >&2; git status --short >&2; exit 1; }

bench: programs ## measure us and the peers side by side
	$(CARGO) bench --locked --workspace --bench microbenchmarks --bench programs --bench claim --bench batch
	$(CARGO) build --release --locked --package jitp-lambda --bin process-queue
	$(CARGO) bench --locked --package jitp-bench --bench pipeline -- --consumer $(TARGET_DIR)/release/process-queue
	tests/interop/setup.sh mosquitto
	$(CARGO) bench --locked --workspace --bench broker
	tests/interop/setup.sh node
	$(CARGO) bench --locked --package jitp-bench --bench loadtest -- --node $(abspath $(TARGET_DIR))/interop/node
	tests/witnesses/run.sh calls
	$(CARGO) bench --locked --workspace --bench control

interop: programs ## let awscli, boto3, MQTT clients, the AWS SDKs, sslyze, Terraform and cfn-lint judge us
	tests/interop/setup.sh
	$(CARGO) build --workspace --locked --bin pre-provision --bin process-queue
	tests/interop/run.sh
	tests/witnesses/run.sh
	tests/environment/run.sh

install: programs ## install the programs into PREFIX/bin
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(EXECUTABLES) $(DESTDIR)$(PREFIX)/bin
	@for alias in $(ALIASES); do ln -sfn $${alias#*:} $(DESTDIR)$(PREFIX)/bin/$${alias%%:*}; done

clean: ## remove what was built
	$(CARGO) clean
	rm -f $(EXECUTABLES) $(foreach alias,$(ALIASES),bin/$(firstword $(subst :, ,$(alias))))
