# Everything a person or a CI job asks of this repository. `make help` lists it.

CARGO       ?= cargo
TARGET_DIR  := $(or $(CARGO_TARGET_DIR),target)
PREFIX      ?= /usr/local
DESTDIR     ?=

PROGRAMS    := create-root register provision pub sub \
               create-thing delete-thing enable-certificate disable-certificate device-status thing-certificates sweep ca \
               fleet-provision needs-renewal create-claim template teardown environment \
               iot-local
# The names the shell toolkit used for two of them.
ALIASES     := create-ca:create-root register-ca:register
EXECUTABLES := $(PROGRAMS:%=bin/%)

.PHONY: all check test bench demo fleet-demo lambda local interop install clean help prerequisites programs

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
HOOK        := $(TARGET_DIR)/lambda/pre-provision.zip
FLEET_DEMO   = FLEET_HOOK=$(TARGET_DIR)/lambda/fleet-demo.zip etc/fleet-demo.sh
fleet-demo: programs ## a fleet by claim on a local AWS IoT Core: three devices get in, a fourth does not, nothing is left
	@[ ! -e $(HOOK) ] || mv $(HOOK) $(HOOK).kept # may have an allow list of its own
	$(CARGO) run --quiet --locked --package xtask -- lambda etc/fleet-demo.json
	@mv $(HOOK) $(TARGET_DIR)/lambda/fleet-demo.zip
	@[ ! -e $(HOOK).kept ] || mv $(HOOK).kept $(HOOK)
	@if [ -n "$${AWS_ENDPOINT_URL:-}" ]; then $(FLEET_DEMO); \
	else ./bin/iot-local run --clock-speed 100 -- env $(FLEET_DEMO); fi

lambda: prerequisites ## build and pack the functions into target/lambda (ALLOW_LIST=FILE goes along)
	$(CARGO) run --quiet --locked --package xtask -- lambda $(ALLOW_LIST)

local: programs ## an AWS IoT Core on this machine, until Ctrl-C
	./bin/iot-local serve

test: prerequisites ## every test; needs no network and no account
	@command -v openssl >/dev/null || { echo "make: the openssl program, which judges our certificates, is missing; remedy: sudo apt-get install openssl" >&2; exit 1; }
	@command -v curl >/dev/null || { echo "make: curl, by which the functions of some tests speak, is missing; remedy: sudo apt-get install curl" >&2; exit 1; }
	$(CARGO) test --workspace --locked

check: prerequisites ## what must be true before a change lands
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked --document-private-items
	$(MAKE) test
	@test -z "$$(git status --porcelain)" || { echo "make: the working tree is not clean:" >&2; git status --short >&2; exit 1; }

bench: programs ## measure us and the peers side by side
	$(CARGO) bench --locked --workspace --bench microbenchmarks --bench programs --bench claim
	tests/interop/setup.sh mosquitto
	$(CARGO) bench --locked --workspace --bench broker
	tests/witnesses/run.sh calls
	$(CARGO) bench --locked --workspace --bench control

interop: programs ## let awscli, boto3, MQTT clients, the AWS SDKs, sslyze, Terraform and cfn-lint judge us
	tests/interop/setup.sh
	tests/interop/run.sh
	$(CARGO) build --workspace --locked --bin pre-provision
	tests/witnesses/run.sh
	tests/environment/run.sh

install: programs ## install the programs into PREFIX/bin
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(EXECUTABLES) $(DESTDIR)$(PREFIX)/bin
	@for alias in $(ALIASES); do ln -sfn $${alias#*:} $(DESTDIR)$(PREFIX)/bin/$${alias%%:*}; done

clean: ## remove what was built
	$(CARGO) clean
	rm -f $(EXECUTABLES) $(foreach alias,$(ALIASES),bin/$(firstword $(subst :, ,$(alias))))
