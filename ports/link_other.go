//go:build !linux

package ports

import "errors"

// Links follows network interfaces by netlink, which only Linux has.
type Links struct{}

// NewLinks refuses: there is no netlink here.
func NewLinks() (*Links, error) {
	return nil, errors.New("network interfaces are followed by netlink, which only Linux has; use wire, pcap and pipe ports here")
}

// Close does nothing.
func (*Links) Close() error { return nil }
