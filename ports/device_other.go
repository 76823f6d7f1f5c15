//go:build !linux

package ports

import (
	"fmt"
	"runtime"
)

func openAFPacket(s Spec, _ Options) (Port, error) { return nil, onlyLinux(s) }
func openXDP(s Spec, _ Options) (Port, error)      { return nil, onlyLinux(s) }
func openTAP(s Spec, _ Options) (Port, error)      { return nil, onlyLinux(s) }
func openInternal(s Spec, _ Options) (Port, error) { return nil, onlyLinux(s) }

func onlyLinux(s Spec) error {
	return fmt.Errorf("ports of kind %s need Linux, this is %s; wire, pcap (with the build tag libpcap also live: pcap:%s), patch and pipe ports work here",
		s.Kind, runtime.GOOS, s.Target)
}

// Yield lets another thread that wants this processor have it, where weir knows how to ask.
func Yield() {}
