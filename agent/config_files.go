// Slow path: the files that a configuration names, looked for before anything needs them.

package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/weirswitch/weir/ports"
)

// MissingFiles tells of files that cannot be read. Captures are needed at the start: errs. Those of tls are read again
// with each connection and may come later: warnings.
func (c *Config) MissingFiles() (warnings []string, errs error) {
	for i := range c.Bridges {
		b := &c.Bridges[i]
		for _, f := range []struct{ key, file string }{{"tls.private-key", b.TLS.PrivateKey}, {"tls.certificate", b.TLS.Certificate}, {"tls.ca-cert", b.TLS.CACert}} {
			if err := readable(f.file); err != nil {
				warnings = append(warnings, fmt.Sprintf("bridge %s: %s: %s cannot be read: %v; encrypted connections fail until it can", b.Name, f.key, f.file, err))
			}
		}
		for _, p := range b.Ports {
			if err := readable(p.Plays()); err != nil {
				errs = errors.Join(errs, fmt.Errorf("bridge %s: port %s: the capture %s cannot be read: %w", b.Name, p.Name, p.Plays(), err))
			}
		}
	}
	return warnings, errs
}

// MissingDevices tells of ports on interfaces that this host does not have. A tap is made, and a configuration may be meant
// for another host: these are no mistakes.
func (c *Config) MissingDevices() (notes []string) {
	for i := range c.Bridges {
		b := &c.Bridges[i]
		for _, p := range b.Ports {
			if p.Kind != ports.KindAFPacket && p.Kind != ports.KindXDP {
				continue
			}
			if _, err := net.InterfaceByName(p.Target); err != nil {
				notes = append(notes, fmt.Sprintf("bridge %s: port %s: there is no interface %s on this host; the port starts to work when there is", b.Name, p.Name, p.Target))
			}
		}
	}
	return notes
}

// readable says why a file cannot be read. A pipe is not opened: that would wait for its other end.
func readable(file string) error {
	if file == "" {
		return nil
	}
	st, err := os.Stat(file)
	if err == nil && st.IsDir() {
		return errors.New("it is a folder")
	}
	if err == nil && st.Mode().IsRegular() {
		var f *os.File
		if f, err = os.Open(file); err == nil {
			return f.Close()
		}
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
