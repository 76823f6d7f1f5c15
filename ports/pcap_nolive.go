//go:build !libpcap

package ports

import "fmt"

// openPcapLive refuses: this program was built without libpcap.
func openPcapLive(s Spec, _ Options) (Port, error) {
	return nil, fmt.Errorf("%s is no capture file, and this weir was built without libpcap, which live devices need: "+
		"build it with `make build-libpcap` (libpcap-dev and a C compiler are needed), "+
		"write a path with a slash if a file is meant, or use the device itself on Linux (%s without pcap:)", s.Target, s.Target)
}
