# The few words of this project. CI calls the same ones (.ci/run).

FUZZTIME ?= 10s
CHAOS ?= 5m

# The systems besides Linux that everything must compile for. A release has the program for more (make release).
CROSS = darwin/arm64 windows/amd64

# Where an int has 32 bits, only the program.
CROSS_PROGRAM = linux/arm

STATICCHECK = go tool -modfile=$(CURDIR)/tools/go.mod staticcheck

# The reference wants a newer Go than the product. What builds the product there keeps the product's own (DETOUR_GO).
REFERENCE = DETOUR_GO="$$(command -v go)" GOTOOLCHAIN=go1.27.3

.DEFAULT_GOAL := help
.PHONY: help run demo test race chaos fuzz bench interop proxies proxies-traefik proxies-envoy laptops natlab page docs packages alerts lint build cross release pgo site ci

help: ## list these words
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

run: ## start a relay for development: plain HTTP on 127.0.0.1:3340, its key in memory
	go run ./cmd/detour relay --dev

demo: ## two regions of two relays each on this machine, with their DERP map
	go run ./cmd/detour demo

test: ## run the tests and guards of the product (needs git, Go and make only)
	go test ./...
	if [ "$$(go env GOOS)" = linux ]; then go test ./internal/edge -loops 2; fi
	go test ./relay -started
	cd tools/site && go test ./...

race: ## run them under the race detector (needs a C compiler)
	go test -race -pgo=off -p 3 -timeout 20m ./... # many only wait
	if [ "$$(go env GOOS)" = linux ]; then go test -race -pgo=off ./internal/edge -loops 2; fi
	go test -race -pgo=off ./relay -started -run 'Rest|Limit|Shutdown|Drain|Close|End|Login|Admi|Waiting|Expire'

chaos: ## peers that come, stall and leave as they like while the relay is taken over and links are cut, for CHAOS (5m) over each poller, under the race detector; then all must add up
	DETOUR_CHAOS=$(CHAOS) go test -race -pgo=off -count=1 -timeout 0 -run TestChaos -v ./internal/daemon

fuzz: ## fuzz each target for FUZZTIME (10s), beginning with its seeds
	tools/fuzz $(FUZZTIME)

bench: ## measure the relay beside derper, several minutes; writes bench-results/ and docs/performance.md
	cd test/interop && $(REFERENCE) go run ./bench

interop: ## test against Tailscale's own code both ways, real nodes included (Linux; see test/interop/tailnet)
	cd test/interop && $(REFERENCE) go test -p 1 -count=1 ./...
	@echo "once more, with our program in the place of derper"
	go build -o bin/ ./cmd/detour && ln -sf detour bin/derper
	cd test/interop && DERPER_PROGRAM=$(CURDIR)/bin/derper $(REFERENCE) go test -count=1 .
	cd test/interop/tailnet && $(REFERENCE) go test -count=1 -v -timeout 20m .
	cd test/interop/tailcat && $(REFERENCE) go test -count=1 -v -timeout 30m .

proxies: ## run the configurations of dist/proxies with real proxies and a browser, six minutes (root on Linux; see test/proxies)
	cd test/proxies && go test -count=1 -v -parallel 64 -timeout 20m .

proxies-traefik: ## the same with Traefik alone, which Debian does not have: the program traefik has to be there
	cd test/proxies && go test -count=1 -v -parallel 64 -timeout 20m -run TestReadyConfigurations . -with Traefik

proxies-envoy: ## compare Envoy's configuration with Envoy's own definitions, which take minutes to compile
	cd test/proxies/envoy && go test -count=1 -v .

laptops: ## two network namespaces as two laptops, from nothing to ping and TCP (root on Linux; see test/laptops)
	cd test/laptops && go test -count=1 -v .

docs: ## run the commands of the pages as they stand there, in namespaces (root on Linux; see test/docs)
	cd test/docs && go test -count=1 -v -parallel 8 .

alerts: ## rules and dashboards of dist against the metrics that there are (promtool, of Debian's prometheus)
	cd test/alerts && go test .

page: ## the pages for operators in a real browser, a minute; PAGE_PICTURES=DIR keeps pictures (chromium; see test/page)
	cd test/page && go test -count=1 -v -timeout 20m .

natlab: ## direct paths between two laptops behind NATs of all kinds, expected and found (root on Linux; see test/natlab)
	cd test/natlab && go run . $(NATLAB)

packages: ## install, upgrade and remove the packages of a release in a small Debian (root on Debian; see test/packages)
	cd tools/release && go test .
	cd test/packages && go test -count=1 -timeout 20m -v .

charts: ## render and lint dist/helm and dist/compose.yaml by the libraries of Helm and Compose, which take minutes to compile
	cd test/charts && go vet . && go test -count=1 .

lint: ## check format, vet, staticcheck and the import rules
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
		if [ -n "$$unformatted" ]; then echo "not formatted, run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go vet -tags man ./cmd/detour
	$(STATICCHECK) ./...
	go test ./internal/archtest
	@for module in tools/site tools/release test/proxies test/laptops test/natlab test/page test/docs test/packages test/alerts; do \
		echo "vet and staticcheck $$module"; \
		(cd $$module && go vet ./... && $(STATICCHECK) ./...) || exit 1; \
	done
	@for module in test/interop test/interop/programs test/interop/tailnet test/interop/tailcat; do \
		echo "vet and staticcheck $$module"; \
		(cd $$module && $(REFERENCE) go vet ./... && $(REFERENCE) $(STATICCHECK) ./...) || exit 1; \
	done

build: ## compile the program for this machine into bin/
	go build -o bin/ ./cmd/detour

# Without the profile of the program, which has all that is beneath it compiled once more.
cross: ## compile everything, tests included, for the other systems
	@for system in $(CROSS); do \
		echo "compile for $$system"; \
		CGO_ENABLED=0 GOOS=$${system%/*} GOARCH=$${system#*/} go vet -pgo=off ./... || exit 1; \
		CGO_ENABLED=0 GOOS=$${system%/*} GOARCH=$${system#*/} go build -pgo=off ./... || exit 1; \
	done
	@for system in $(CROSS_PROGRAM); do \
		echo "compile the program for $$system"; \
		CGO_ENABLED=0 GOOS=$${system%/*} GOARCH=$${system#*/} go build -pgo=off -o /dev/null ./cmd/detour || exit 1; \
	done

release: ## make all that is handed out into dist/out, some 20 minutes (RELEASE="--version v0.9.0"; see docs/install.md)
	cd tools/release && go run . $(RELEASE)

pgo: ## profile the program anew into cmd/detour/default.pgo, about a minute
	tools/pgo.sh

site: ## make the pages of docs/ a static site, dist/out/site
	cd tools/site && go run .

ci: ## do all that CI does
	.ci/run
