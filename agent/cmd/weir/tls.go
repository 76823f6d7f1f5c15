// Slow path: "weir tls init": certificates for a lab.

package main

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/weirswitch/weir/agent"
)

func (t *tool) tlsInit(fs *flag.FlagSet) func([]string) error {
	hosts := fs.String("hosts", "localhost,127.0.0.1,::1", "`NAMES` names and addresses in the controller's certificate, with commas")
	days := fs.Int("days", 365, "`N` days until the certificates expire")
	return func(words []string) error {
		dir := "."
		if len(words) > 0 {
			dir = words[0]
		}
		if *days < 1 || *days > 36500 {
			return usagef("--days %d: expected 1 to 36500", *days)
		}
		if err := absolute(&dir); err != nil {
			return err
		}
		lab := agent.TLSLab{Dir: dir, Days: *days, Now: time.Now()}
		for _, h := range strings.Split(*hosts, ",") {
			if h = strings.TrimSpace(h); h != "" {
				lab.Hosts = append(lab.Hosts, h)
			}
		}
		files, err := agent.InitTLS(lab)
		if err != nil {
			return err
		}
		fmt.Fprintf(t.out, "tls:\n  private-key: %s\n  certificate: %s\n  ca-cert: %s\n", files.PrivateKey, files.Certificate, files.CACert)
		fmt.Fprintf(t.out, "# the controller's: %s %s\n", filepath.Join(dir, "controller.pem"), filepath.Join(dir, "controller-key.pem"))
		return nil
	}
}
