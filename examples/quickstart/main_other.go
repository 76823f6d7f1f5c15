//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "quickstart: network namespaces exist on Linux alone; "+
		"elsewhere weir runs with wire, pcap and pipe ports, see examples/config")
	os.Exit(1)
}
