//go:build !libpcap

package ports

import (
	"strings"
	"testing"
)

func TestPcapLiveNeedsTheTag(t *testing.T) {
	s, err := ParseSpec("pcap:eth0")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(s, Options{})
	if err == nil || !strings.Contains(err.Error(), "make build-libpcap") || !strings.Contains(err.Error(), "port eth0") {
		t.Fatalf("got %v", err)
	}
}
