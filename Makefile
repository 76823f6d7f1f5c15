# weir: the daily commands. "make" alone lists them.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# -buildvcs=false: a clone owned by another user must build as well; the version is passed by hand.
BUILD  = $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"
STATIC = CGO_ENABLED=0 $(BUILD)

# The race detector needs a C compiler; without one the tests run without it and say so. (Asked when a recipe runs,
# because "deps" may have installed the compiler.)
RACE = $$(command -v gcc >/dev/null 2>&1 && echo -race || { echo 'no gcc: tests run without the race detector' >&2; })

FUZZTIME  ?= 20s
BENCHTIME ?= 1s
COUNT     ?= 1
DURATION  ?= 30m
LIVES     ?= 50
KERNEL    ?= trixie-backports
PKGS       = $$($(GO) list ./... | grep -v -e /integration$$ -e /integration/oracle$$ -e /integration/benchcontrol$$ -e /integration/benchengine$$ -e /integration/benchlab$$)

.PHONY: help build build-libpcap run deps test test-unit test-libpcap integration soak over-ports zero-copy lint fuzz bench bench-control bench-engine bench-lab examples check clean

help:
	@echo 'make run          build weir and show it at work: three hosts talk through it (KEEP=1: leave it up)'
	@echo 'make test         unit and integration tests, race detector on; as root on Debian installs what they need'
	@echo 'make build        static bin/weir'
	@echo 'make build-libpcap  bin/weir-libpcap, with live capture ports (needs a C compiler and libpcap-dev)'
	@echo 'make test-unit    tests that need no rights and no other program'
	@echo 'make test-libpcap tests of live capture ports (needs a C compiler and libpcap-dev)'
	@echo 'make integration  whole-switch tests in network namespaces (RUN=regexp chooses some)'
	@echo 'make lint         gofmt, go vet, staticcheck'
	@echo 'make soak         frames over all kinds of port, changes and flaps for DURATION=$(DURATION): no frame uncounted, nothing grows'
	@echo 'make over-ports   conformance and comparison suites, whole, over every kind of port in the place of pipes (LIVES=$(LIVES))'
	@echo 'make zero-copy    AF_XDP without copying, on the cards of a guest with a newer kernel of Debian (KERNEL=$(KERNEL))'
	@echo 'make fuzz         each fuzz target for FUZZTIME=$(FUZZTIME)'
	@echo 'make bench        benchmarks in process, BENCHTIME=$(BENCHTIME); with COUNT=10 what it prints is for benchstat'
	@echo 'make bench-control  the control plane beside Open vSwitch, into docs/benchmarks-control.md (ROUNDS=5); as root'
	@echo 'make bench-engine  the engine in process beside OVS-DPDK, into docs/benchmarks-engine.md and a plot (ROUNDS=3, SECONDS=1);'
	@echo '                  as root on Debian installs openvswitch-switch-dpdk. ONLY="one|miss" measures some rows and prints them:'
	@echo '                  one, 1k, 10k, 100k, 1M, miss, walk, parse, actions, codec'
	@echo 'make bench-lab    the data path beside its peers, into docs/benchmarks-lab.md and plots (ROUNDS=3, SECONDS=1); as root.'
	@echo '                  ONLY="pps|tcp" measures some rows and prints them: pps, tables, churn, tcp, rtt, rest'
	@echo 'make examples     build the example programs into bin/'
	@echo 'make check        what CI runs: lint and test'

build:
	$(STATIC) -o bin/weir ./agent/cmd/weir

build-libpcap:
	CGO_ENABLED=1 $(BUILD) -tags libpcap -o bin/weir-libpcap ./agent/cmd/weir

examples: build
	$(STATIC) -o bin/ ./examples/...

run: build
	@$(STATIC) -o bin/quickstart ./examples/quickstart
	@exec bin/quickstart $(if $(filter-out 0 no,$(KEEP)),-keep)

deps:
	@integration/deps.sh

test: deps test-unit test-libpcap integration

test-unit:
	$(GO) test $(RACE) -timeout 20m $(PKGS)

# Live capture needs cgo and libpcap's headers; CI has both, for "deps" makes sure of it.
test-libpcap:
	@if command -v gcc >/dev/null 2>&1 && test -e /usr/include/pcap.h; then set -x; $(GO) test -race -count=1 -tags libpcap -run 'Live' ./ports; \
	elif [ "$$CI" = true ]; then echo 'gcc or libpcap-dev is missing' >&2; exit 1; \
	else echo 'skipped: tests of live capture ports need gcc and libpcap-dev'; fi

# One package, one test after the other: they measure throughput and want the machine to themselves.
# (oracle: more lives with "go test ./integration/oracle -oracle.time=10m".)
integration: deps
	$(GO) test $(RACE) -p 1 -count=1 -timeout 20m $(if $(RUN),-v -run '$(RUN)') ./integration ./integration/oracle ./integration/benchcontrol ./integration/benchengine ./integration/benchlab

soak: deps
	$(GO) test -count=1 -v -timeout 24h -run 'TestSoak$$' ./integration -soak $(DURATION)

over-ports: deps
	$(GO) test -count=1 -v -timeout 3h -run 'TestOverPorts$$' ./integration/conformance -conformance.whole
	$(GO) test -count=1 -v -timeout 3h -run 'TestOverPorts$$' ./integration/oracle -oracle.overports $(LIVES)

# A minute, and a download of 40 MB the first time. Not in CI: that suite's kernel is another one every few weeks.
zero-copy: deps
	$(GO) test -count=1 -v -timeout 20m -run 'TestZeroCopy$$' ./integration -zerocopy $(KERNEL)

lint:
	@out=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "gofmt wants to change:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet ./agent/cmd/weir
	$(GO) tool staticcheck ./...

fuzz:
	@for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

bench:
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -count $(COUNT) $(PKGS)

# What the benchmarks ask before they begin: numbers that are numbers.
define benchable
	@case '$(or $(ROUNDS),1)' in *[!0-9]*|0) echo "ROUNDS=$(ROUNDS): expected a number of rounds, 1 or more" >&2; exit 1;; esac
	@case '$(or $(SECONDS),1)' in *[!0-9.]*|*.*.*|.|0) echo "SECONDS=$(SECONDS): expected the seconds of a figure, such as 1 or 0.5" >&2; exit 1;; esac
endef

# Programs in the kernel and the bridge of Open vSwitch need root; nothing is measured without.
define asroot
	@test "$$(id -u)" = 0 || { echo "make $@ must be run as root: it compares with Open vSwitch's bridge and programs in the kernel" >&2; exit 1; }
endef

# Minutes on a machine that does nothing else meanwhile; never in CI, which only looks that it works.
bench-control:
	$(benchable)
	$(asroot)
	@integration/deps.sh
	@mkdir -p docs
	$(GO) test ./integration/benchcontrol -count=1 -timeout 60m -v -bench.rounds=$(or $(ROUNDS),5) -bench.flows=100000 -bench.big=1000000 \
		-bench.calls=2000 -bench.report=$(CURDIR)/docs/benchmarks-control.md

# Some minutes on a machine that does nothing else meanwhile. Without Open vSwitch with DPDK it measures weir alone.
bench-engine:
	$(benchable)
	@integration/deps.sh dpdk
	@mkdir -p docs
	$(GO) test -c -o bin/bench-engine ./integration/benchengine
	cd integration/benchengine && exec $(CURDIR)/bin/bench-engine -test.v -test.timeout 2h -bench.rounds=$(or $(ROUNDS),3) \
		-bench.seconds=$(or $(SECONDS),1) $(if $(ONLY),-bench.only='$(ONLY)',-bench.report=$(CURDIR)/docs/benchmarks-engine.md)

# Some ten minutes on a machine that does nothing else meanwhile. The program is run by itself, so that its progress
# is seen and Ctrl-C is its own affair.
bench-lab:
	$(benchable)
	$(asroot)
	@integration/deps.sh
	@mkdir -p docs
	$(GO) test -c -o bin/bench-lab ./integration/benchlab
	cd integration/benchlab && exec $(CURDIR)/bin/bench-lab -test.v -test.timeout 2h -bench.rounds=$(or $(ROUNDS),3) \
		-bench.seconds=$(or $(SECONDS),1) $(if $(ONLY),-bench.only='$(ONLY)',-bench.report=$(CURDIR)/docs/benchmarks-lab.md)

check: lint test

clean:
	rm -rf bin
