//go:build tools

// Package jaeger pins Jaeger 2.13, so that `go build` of its command resolves to the
// collector modules in go.mod.
package jaeger

import _ "github.com/jaegertracing/jaeger/cmd/jaeger"
