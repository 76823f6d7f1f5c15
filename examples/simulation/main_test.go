package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// TestSimulation runs the network twice with one seed, and both runs must be the same to the last event; another seed
// must go another way. That all hosts reach each other before and after the failure simulate itself makes sure of.
func TestSimulation(t *testing.T) {
	var logs [2]bytes.Buffer
	var out bytes.Buffer
	var sums [2]string
	for i := range logs {
		out.Reset()
		var err error
		if sums[i], err = simulate(1, &out, &logs[i]); err != nil {
			t.Fatalf("%v\n%s", err, &out)
		}
	}
	first, second := strings.Split(logs[0].String(), "\n"), strings.Split(logs[1].String(), "\n")
	for i := range min(len(first), len(second)) {
		if first[i] != second[i] {
			t.Fatalf("the runs part at line %d:\n%s\n%s", i+1, first[i], second[i])
		}
	}
	if len(first) != len(second) || len(first) < 1000 {
		t.Errorf("%d and %d lines", len(first), len(second))
	}
	if sums[0] != sums[1] || !strings.Contains(out.String(), sums[0][:16]) {
		t.Errorf("%s and %s; the output is\n%s", sums[0], sums[1], &out)
	}
	if other, err := simulate(2, io.Discard, io.Discard); err != nil || other == sums[0] {
		t.Errorf("seed 2: %s, %v", other, err)
	}
}
