package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/lab"
)

// tlsController is an os-ken that listens for TLS and asks for the role in its file.
type tlsController struct {
	*lab.Proc
	t    *testing.T
	wish string
}

// startTLSController runs testdata/role.py on a port, with the certificates of "weir tls init" in a directory.
func (b *bed) startTLSController(port int, certs, wish string) *tlsController {
	b.t.Helper()
	needPython(b.t, "os_ken")
	app, err := filepath.Abs("testdata/role.py")
	if err != nil {
		b.t.Fatal(err)
	}
	c := &tlsController{t: b.t, wish: b.write(fmt.Sprintf("wish-%d", port), wish)}
	c.Proc, err = b.Start(lab.Cmd{Path: debianPython, Dir: b.Dir(), Env: append(b.env(), "PYTHONDONTWRITEBYTECODE=1", "WISH="+c.wish),
		Args: []string{"-m", "os_ken.cmd.manager", "--ofp-ssl-listen-port", fmt.Sprint(port), "--ctl-privkey", filepath.Join(certs, "controller-key.pem"),
			"--ctl-cert", filepath.Join(certs, "controller.pem"), "--ca-certs", filepath.Join(certs, "ca.pem"), app}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Logf("os-ken at %d said:\n%s", port, c.Output())
		}
	})
	return c
}

// wants changes the role that the controller asks for.
func (c *tlsController) wants(role string) {
	c.t.Helper()
	if err := os.WriteFile(c.wish+".new", []byte(role), 0o644); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(c.wish+".new", c.wish); err != nil {
		c.t.Fatal(err)
	}
}

// heard waits until the controller has said something n times.
func (c *tlsController) heard(what string, n int) {
	c.t.Helper()
	eventually(c.t, what, func() error {
		if got := strings.Count(c.Output(), "SAYS "+what); got < n {
			return fmt.Errorf("%q was said %d times of %d:\n%s", what, got, n, c.Output())
		}
		return nil
	})
}

// certify gives the switch, whose files are in own, the certificates of a lab's directory.
func (b *bed) certify(own, from string) {
	b.t.Helper()
	if err := os.MkdirAll(own, 0o755); err != nil {
		b.t.Fatal(err)
	}
	for _, name := range []string{"ca.pem", "switch.pem", "switch-key.pem"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(own, name), text, 0o600)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// ofctlTLS connects the real ovs-ofctl over TLS with the certificates of a directory, which must work or be refused.
func (b *bed) ofctlTLS(t *testing.T, certs string, good bool) {
	t.Helper()
	file := func(name string) string { return filepath.Join(certs, name) }
	out, err := b.try("ovs-ofctl", "-O", "OpenFlow13", "-p", file("controller-key.pem"), "-c", file("controller.pem"), "-C", file("ca.pem"),
		"show", "ssl:127.0.0.1:6640")
	if good && (err != nil || !strings.Contains(out, "OFPT_FEATURES_REPLY (OF1.3)")) {
		t.Errorf("ovs-ofctl over TLS: %v\n%s", err, out)
	}
	if !good && err == nil {
		t.Errorf("ovs-ofctl with certificates of another authority is let in:\n%s", out)
	}
}

// TestTLSControllers: two os-ken controllers over TLS with different roles; the master is killed, the slave takes over,
// the old master comes back with a claim that is stale. Then the certificates are renewed under the running switch, and
// ovs-ofctl and a controller with the new ones are let in, those with the old ones are not.
func TestTLSControllers(t *testing.T) {
	need(t, "ovs-ofctl")
	needPython(t, "os_ken")
	b := newBed(t)
	hosts := b.addHosts(2)
	old, renewed, own := filepath.Join(b.Dir(), "old"), filepath.Join(b.Dir(), "renewed"), filepath.Join(b.Dir(), "own")
	for _, dir := range []string{old, renewed} {
		b.cli("tls", "init", dir)
	}
	b.certify(own, old)
	b.startYAML([]string{"br0"}, fmt.Sprintf(`
bridges:
  - name: br0
    fail-mode: secure
    tls: {private-key: %[1]s/switch-key.pem, certificate: %[1]s/switch.pem, ca-cert: %[1]s/ca.pem}
    controllers:
      - {target: "ssl:127.0.0.1:6653", min-backoff: 100ms, max-backoff: 200ms}
      - {target: "ssl:127.0.0.1:6654", min-backoff: 100ms, max-backoff: 200ms}
    listen: ["pssl:6640:127.0.0.1"]
    ports: [{port: "1:eth1"}, {port: "2:eth2"}]
`, own))
	provoke := func() { _, _ = hosts[0].PingCount(hosts[1].Addr4(), 1, 100*time.Millisecond) }

	one, two := b.startTLSController(6653, old, "master 1"), b.startTLSController(6654, old, "slave 1")
	one.heard("role 2 generation 1", 1)
	two.heard("role 3 generation 1", 1)
	eventually(t, "both roles", func() error {
		text := b.cli("status", "br0")
		if !strings.Contains(lineWith(text, "127.0.0.1:6653"), "role master") || !strings.Contains(lineWith(text, "127.0.0.1:6654"), "role slave") {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
	eventually(t, "table-miss entry", func() error { return contains(b.ofctl("dump-flows", "br0"), "actions=CONTROLLER") })
	provoke()
	one.heard("packet-in 1", 1)

	one.Kill()
	<-one.Done()
	wants(t, "flows without a master", b.ofctl("dump-flows", "br0"), "actions=CONTROLLER")
	two.wants("master 2")
	two.heard("role 2 generation 2", 1)
	if strings.Contains(two.Output(), "packet-in") {
		t.Errorf("a slave was told of packets:\n%s", two.Output())
	}
	provoke()
	two.heard("packet-in 1", 1)
	one = b.startTLSController(6653, old, "master 1")
	one.heard("error 11 0", 1) // OFPET_ROLE_REQUEST_FAILED, OFPRRFC_STALE
	one.wants("slave 2")
	one.heard("role 3 generation 2", 1)
	one.wants("master 3") // and the other becomes a slave by that
	one.heard("role 2 generation 3", 1)
	eventually(t, "the other is a slave", func() error {
		return contains(lineWith(b.cli("status", "br0"), "127.0.0.1:6654"), "role slave")
	})

	b.ofctlTLS(t, old, true)
	b.ofctlTLS(t, renewed, false) // another authority
	b.certify(own, renewed)
	b.ofctlTLS(t, old, false)
	b.ofctlTLS(t, renewed, true)
	provoke()
	one.heard("packet-in 1", 1) // who is connected stays so
	two.Kill()
	<-two.Done()
	two = b.startTLSController(6654, renewed, "slave 3")
	two.heard("role 3 generation 3", 1)
}
